"""Changes of local files that survive a power failure: each is on the disk when its call returns.

A file's content is flushed before its name, and the folder that contains the name after each change
of it. What one call creates therefore never exists without what an earlier call created.
"""

import contextlib
import errno
import io
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

# Errors of file systems that cannot flush, such as some network file systems, of pipes, and of
# folders that may be written but not read.
_CANNOT_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM)


class _DurableFile(io.FileIO):
    """A new file whose content, and name if requested, is on the disk once it is closed."""

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
    """Opens a file for writing, replacing existing content; creates its folder if necessary.

    Args:
      path: the path of the file.
      lasting: whether it must survive a power failure; the files of a work folder need not.
      flush_name: whether its name must survive too; a file that is renamed immediately need not.

    Raises:
      OSError: it cannot be opened or, later, written.
    """
    make_folder(os.path.dirname(path))
    return io.BufferedWriter(_DurableFile(path, flush_name) if lasting else io.FileIO(path, "w"))


def make_folder(path: str) -> None:
    """Creates a folder and its parents if they do not exist. Raises OSError."""
    if not path or os.path.isdir(path):
        return
    parent = os.path.dirname(path.rstrip("/"))
    make_folder(parent)
    with contextlib.suppress(FileExistsError):  # just created by another process, or not a folder
        os.mkdir(path)
    if not os.path.isdir(path):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    flush_folders([parent])


def move(pairs: Sequence[tuple[str, str]]) -> None:
    """Moves files or folders to new paths, replacing what is there. Raises OSError; some may then
    have been moved."""
    try:
        for old, new in pairs:
            os.replace(old, new)
    finally:  # the new names first: at no moment does the disk have neither name
        flush_folders(os.path.dirname(new) for _, new in pairs)
        flush_folders(os.path.dirname(old) for old, _ in pairs)


def remove(path: str) -> None:
    """Deletes a file, a link, or a folder with its content, if it exists. Raises OSError."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)
    else:
        return
    flush_folders([os.path.dirname(path.rstrip("/"))])


def remove_if_empty(folder: str) -> None:
    """Deletes an empty folder. Raises OSError."""
    os.rmdir(folder)
    flush_folders([os.path.dirname(folder.rstrip("/"))])


def flush_folders(paths: Iterable[str]) -> None:
    """Flushes the names in folders to the disk, once per folder. Raises OSError."""
    for path in dict.fromkeys(paths):
        with _cannot_flush(), contextlib.suppress(FileNotFoundError):  # moved with its content
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
