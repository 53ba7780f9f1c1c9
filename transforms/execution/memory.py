"""Memory that was freed, given back to the system."""

import ctypes
import functools
from collections.abc import Callable


def give_back() -> None:
    """Has the C library return what was freed. glibc keeps it for a process that frees and takes in
    turns: of blocks of half a megabyte each some hundred megabytes. Of other libraries nothing is
    asked."""
    if (trim := _trim()) is not None:
        trim(0)


@functools.cache
def _trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # no glibc; of Windows, no such library
        return None
