"""Files that may be compressed with gzip, whatever they are called."""

import contextlib
import gzip
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

from transforms.storage.files import open_binary

_GZIP = b"\x1f\x8b\x08"


class Unpacked(NamedTuple):
    """The content of a file, open, and whether it is unpacked as it is read: it cannot be searched
    then."""

    file: BinaryIO
    was_packed: bool


@contextlib.contextmanager
def open_unpacked(path: str) -> Iterator[Unpacked]:
    """Opens a file for reading, unpacked where it begins as gzip does.

    Python's own gzip, unlike Beam's reader, notices that a file was cut short.

    Raises:
      OSError, EOFError, zlib.error: it cannot be opened or, later, read.
    """
    with open_binary(path) as file:
        was_packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        if not was_packed:
            yield Unpacked(file, False)
            return
        with gzip.GzipFile(fileobj=file) as content:
            yield Unpacked(cast(BinaryIO, content), True)
