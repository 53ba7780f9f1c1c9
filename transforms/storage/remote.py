"""Files with a scheme such as gs://, through Beam's file systems.

Beam interprets paths to list or delete as patterns, in which `*`, `?` and `[` are special: no name
that contains one of them is ever passed to it as the name of a single file.
"""

import contextlib
import io
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, BinaryIO, TypeVar

from apache_beam.io.filesystem import CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems

from ae_models.errors import LatentbeamError
from transforms.storage.paths import has_wildcard

T = TypeVar("T")
_FILES_A_REQUEST = 100
_REQUESTS_AT_ONCE = 16


@contextlib.contextmanager
def client_errors() -> Iterator[None]:
    """Turns the errors of an object store's client, which differ between clients, into OSErrors."""
    try:
        yield
    except (OSError, LatentbeamError):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def open_object(path: str) -> BinaryIO:
    """Opens a file for reading bytes.

    Raises:
      OSError: it cannot be opened or, later, read.
    """
    with client_errors():
        file = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return io.BufferedReader(_RemoteFile(file))


def create_object(path: str, mime_type: str) -> BinaryIO:
    """Opens a file for writing; on a file system with folders, creates its folder if necessary.
    Raises what the file system raises."""
    if has_folders(path):
        make_folder(os.path.dirname(path))
    return FileSystems.create(path, mime_type, CompressionTypes.UNCOMPRESSED)


def has_folders(path: str) -> bool:
    """Whether the file system of the path has folders, as HDFS does and object stores do not."""
    return bool(FileSystems.get_filesystem(path).has_dirs())


def make_folder(path: str) -> None:
    """Creates a folder if it does not exist. Raises what the file system raises."""
    if not FileSystems.exists(path):
        FileSystems.mkdirs(path)


def object_exists(path: str) -> bool:
    """Whether a file, or a folder if the file system has folders, exists.

    Raises:
      OSError: the file system cannot be queried.
    """
    with client_errors():
        return bool(FileSystems.exists(path))


def below(folder: str) -> str:
    """The pattern of everything in a folder; its slash keeps `img` from matching `img-old`."""
    return f"{folder.rstrip('/')}/**"


def matched(pattern: str, limit: int | None = None) -> list[FileMetadata]:
    """The files that match, at most `limit` of them. Patterns of local paths are supported too.

    Raises:
      OSError: they cannot be listed.
    """
    with client_errors():
        (result,) = FileSystems.match([pattern], [limit])
    # The tools of object stores mark folders with empty objects whose names end with a slash.
    return [m for m in result.metadata_list if not m.path.endswith("/")]


def rename(pairs: Sequence[tuple[str, str]]) -> None:
    """Moves files to new paths, in requests of at most 100 files, 16 of them concurrently. Raises
    what the file system raises."""
    _in_lists(
        lambda some: FileSystems.rename([old for old, _ in some], [new for _, new in some]), pairs
    )


def write_all(files: Mapping[str, bytes], mime_type: str) -> None:
    """Writes files by path, 16 concurrently. Raises what the file system raises; some files may
    then have been written."""

    def write(some: list[tuple[str, bytes]]) -> None:
        for path, content in some:
            with create_object(path, mime_type) as file:
                file.write(content)

    _in_lists(write, list(files.items()))


def delete(paths: Sequence[str]) -> None:
    """Deletes files, in requests like those of `rename`. Raises what the file system raises, and
    OSError for a name that it would interpret as a pattern."""
    for path in paths:
        if has_wildcard(path):
            raise OSError(f"{path} cannot be deleted: it would be interpreted as a pattern")
    _in_lists(FileSystems.delete, paths)


def _in_lists(change: Callable[[list[T]], None], files: Sequence[T]) -> None:
    """Changes files, several lists of them concurrently; Beam creates a separate client for each.

    Lists are short enough to keep all threads busy: many stores change the files of one list one
    after another. After a failure, no further list is started, and running changes are waited for,
    so that a retry does not encounter changes of an earlier attempt.
    """
    size = max(1, min(_FILES_A_REQUEST, math.ceil(len(files) / _REQUESTS_AT_ONCE)))
    lists = [list(files[start : start + size]) for start in range(0, len(files), size)]
    if len(lists) == 1:
        change(lists[0])
        return
    pool = ThreadPoolExecutor(_REQUESTS_AT_ONCE, "changes")
    try:
        changes = [pool.submit(change, some) for some in lists]
        for done in as_completed(changes):
            done.result()
    finally:
        pool.shutdown(cancel_futures=True)


class _RemoteFile(io.RawIOBase):
    """A remote file: a client may open a missing file, and fail at the first read."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with client_errors():
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        with client_errors():
            return self._file.read()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with client_errors():
            return self._file.seek(offset, whence)

    def tell(self) -> int:
        with client_errors():
            return self._file.tell()

    def close(self) -> None:
        if not self.closed:
            super().close()
            with client_errors():
                self._file.close()
