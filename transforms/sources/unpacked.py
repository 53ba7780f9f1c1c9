"""Files that may be compressed with gzip, whatever their name."""

import contextlib
import gzip
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

from transforms.storage.files import open_binary

_GZIP = b"\x1f\x8b\x08"


class Unpacked(NamedTuple):
    """The open content of a file, and whether it is decompressed as it is read, in which case it
    cannot be searched."""

    file: BinaryIO
    was_packed: bool


@contextlib.contextmanager
def open_unpacked(path: str) -> Iterator[Unpacked]:
    """Opens a file for reading; a file that begins like gzip is decompressed.

    Python's gzip module, unlike Beam's reader, detects a truncated file.

    Raises:
      OSError, EOFError, zlib.error: the file cannot be opened or, later, read.
    """
    with open_binary(path) as file:
        was_packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        if not was_packed:
            yield Unpacked(file, False)
            return
        with gzip.GzipFile(fileobj=file) as content:
            yield Unpacked(cast(BinaryIO, content), True)
