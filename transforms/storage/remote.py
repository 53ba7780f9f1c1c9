"""Files behind a scheme such as gs://, through Beam's file systems.

Beam takes what it is asked to list or to delete for patterns, in which `*`, `?` and `[` stand for
other names: no name with one of them is ever given to it as that of one file.
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
    """Turns what the client of an object store raises, each of a kind of its own, into OSErrors."""
    try:
        yield
    except (OSError, LatentbeamError):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def open_object(path: str) -> BinaryIO:
    """Opens a file for reading its bytes as they are.

    Raises:
      OSError: it cannot be opened, or later, read.
    """
    with client_errors():
        file = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return io.BufferedReader(_RemoteFile(file))


def create_object(path: str, mime_type: str) -> BinaryIO:
    """Opens a file for writing, in a folder that is made where there are folders and it is not
    there. Raises what the file system raises."""
    if has_folders(path):
        make_folder(os.path.dirname(path))
    return FileSystems.create(path, mime_type, CompressionTypes.UNCOMPRESSED)


def has_folders(path: str) -> bool:
    """Whether the file system of the path has folders, as HDFS does and object stores do not."""
    return bool(FileSystems.get_filesystem(path).has_dirs())


def make_folder(path: str) -> None:
    """Makes a folder where none is. Raises what the file system raises."""
    if not FileSystems.exists(path):
        FileSystems.mkdirs(path)


def object_exists(path: str) -> bool:
    """Whether a file, or where there are folders one of those, is there.

    Raises:
      OSError: the file system cannot be asked.
    """
    with client_errors():
        return bool(FileSystems.exists(path))


def below(folder: str) -> str:
    """The pattern of all that is in a folder: with a slash, lest `img` stand for `img-old` too."""
    return f"{folder.rstrip('/')}/**"


def matched(pattern: str, limit: int | None = None) -> list[FileMetadata]:
    """The files that match, of which at most `limit` are looked at. A pattern of a local path is
    matched too.

    Raises:
      OSError: they cannot be listed.
    """
    with client_errors():
        (result,) = FileSystems.match([pattern], [limit])
    # Object stores' own tools mark folders by empty objects whose names end with a slash.
    return [m for m in result.metadata_list if not m.path.endswith("/")]


def rename(pairs: Sequence[tuple[str, str]]) -> None:
    """Gives files their new paths, in requests of at most 100 files, 16 of which are made at once.
    Raises what the file system raises."""
    _in_lists(
        lambda some: FileSystems.rename([old for old, _ in some], [new for _, new in some]), pairs
    )


def write_all(files: Mapping[str, bytes], mime_type: str) -> None:
    """Writes files by their paths, 16 at once. Raises what the file system raises; some are written
    then."""

    def write(some: list[tuple[str, bytes]]) -> None:
        for path, content in some:
            with create_object(path, mime_type) as file:
                file.write(content)

    _in_lists(write, list(files.items()))


def delete(paths: Sequence[str]) -> None:
    """Deletes files, in requests as `rename` makes them. Raises what the file system raises, and
    OSError for a name that it would take for a pattern."""
    for path in paths:
        if has_wildcard(path):
            raise OSError(f"{path} cannot be deleted: it would be taken for a pattern")
    _in_lists(FileSystems.delete, paths)


def _in_lists(change: Callable[[list[T]], None], files: Sequence[T]) -> None:
    """Changes files, several lists of them at once; for each Beam makes a client of its own.

    Lists are as short as keeps all threads busy: many a store changes the files of one list one
    after another. After a failure no list is begun, and those that are being changed are waited
    for, so that whoever tries again meets no change of an earlier attempt.
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
    """A remote file: a client may open what is not there, and fail at the first read."""

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
