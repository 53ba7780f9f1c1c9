"""Changes of local files that outlast a power failure: each is on the disk when its call returns.

A file's content is flushed before its name is, and the folder that holds the name after each change
of it: so what one call makes is never there without what an earlier call made.
"""

import contextlib
import errno
import io
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

# What file systems answer that cannot flush, some that are mounted over a network and pipes among
# them; and a folder that may be written to, not read.
_CANNOT_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM)


class _DurableFile(io.FileIO):
    """A new file that is on the disk once it is closed, under its name where that is flushed."""

    def __init__(self, path: str, flush_name: bool):
        super().__init__(path, "w")
        self._path, self._flush_name = path, flush_name

    def close(self) -> None:
        if self.closed:
            return
        try:
            _flush(self.fileno())
        finally:
            super().close()
        if self._flush_name:
            flush_folders([os.path.dirname(self._path)])


def create(path: str, lasting: bool = True, flush_name: bool = True) -> Any:
    """Opens a file for writing, new or in place of another's content; its folder is made if it is
    not there.

    Args:
      path: of the file.
      lasting: whether it is to outlast a power failure, as what a work folder holds need not.
      flush_name: whether its name is to as well, as one that is changed at once need not.

    Raises:
      OSError: it cannot be opened, or later, written.
    """
    make_folder(os.path.dirname(path))
    return io.BufferedWriter(_DurableFile(path, flush_name) if lasting else io.FileIO(path, "w"))


def make_folder(path: str) -> None:
    """Makes a folder, and those that it lies in, where there is none. Raises OSError."""
    if not path or os.path.isdir(path):
        return
    parent = os.path.dirname(path.rstrip("/"))
    make_folder(parent)
    with contextlib.suppress(FileExistsError):  # made by another in this moment, or no folder
        os.mkdir(path)
    if not os.path.isdir(path):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    flush_folders([parent])


def move(pairs: Sequence[tuple[str, str]]) -> None:
    """Gives files, or folders, their new paths, in place of what is there. Raises OSError; some
    have moved then."""
    try:
        for old, new in pairs:
            os.replace(old, new)
    finally:  # the new names first: there is no moment at which the disk knows of neither
        flush_folders(os.path.dirname(new) for _, new in pairs)
        flush_folders(os.path.dirname(old) for old, _ in pairs)


def remove(path: str) -> None:
    """Deletes a file or a link, or a folder with all that is in it; nothing if none is there.
    Raises OSError."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)
    else:
        return
    flush_folders([os.path.dirname(path.rstrip("/"))])


def remove_if_empty(folder: str) -> None:
    """Deletes a folder that has nothing in it. Raises OSError."""
    os.rmdir(folder)
    flush_folders([os.path.dirname(folder.rstrip("/"))])


def flush_folders(paths: Iterable[str]) -> None:
    """Has the names in folders written to the disk, each folder once. Raises OSError."""
    for path in dict.fromkeys(paths):
        with _cannot_flush(), contextlib.suppress(FileNotFoundError):  # moved, with all in it
            folder = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _flush(file: int) -> None:
    with _cannot_flush():
        os.fsync(file)


@contextlib.contextmanager
def _cannot_flush() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise
