"""Files whose digest is computed while they are written, and checked when they are read."""

import hashlib
import io
import os
import stat
from typing import Any, BinaryIO

from transforms.storage.files import open_binary
from transforms.storage.paths import is_local

_READ_BYTES = 1 << 20


class SealedFile(io.BufferedIOBase):
    """A file for sequential writing.

    Args:
      file: the file to write to; it is closed with this one.
    """

    def __init__(self, file: BinaryIO):
        super().__init__()
        self._file, self._digest, self._written = file, hashlib.sha256(), 0

    @property
    def sha256(self) -> str:
        """The digest of what has been written, in hexadecimal."""
        return self._digest.hexdigest()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._file.write(data)
        self._digest.update(data)
        size = memoryview(data).nbytes
        self._written += size
        return size

    def tell(self) -> int:
        return self._written

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._file.close()


def open_plain(path: str) -> BinaryIO:
    """Like `open_binary`, but rejects local pipes and devices, which would block their reader.

    Raises:
      OSError: it cannot be opened.
    """
    if is_local(path) and not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("it is not a regular file")
    return open_binary(path)


def sha256_of(path: str) -> str:
    """The digest of a file, in hexadecimal, read a mebibyte at a time.

    Raises:
      OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open_plain(path) as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
    return digest.hexdigest()
