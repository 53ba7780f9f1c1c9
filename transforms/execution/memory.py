"""Returns freed memory to the system."""

import ctypes
import functools
from collections.abc import Callable


def give_back() -> None:
    """Makes the C library return freed memory. glibc retains it in a process that alternately frees
    and allocates: some hundred megabytes for blocks of half a megabyte each. Does nothing with
    other C libraries."""
    if (trim := _trim()) is not None:
        trim(0)


@functools.cache
def _trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # not glibc; on Windows, no such library
        return None
