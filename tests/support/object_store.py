"""An object store with the scheme `bucket://`, as Beam's file systems for gs:// and s3:// are.

There are no folders: an object is a name and bytes, listed by the beginning of its name. It appears
whole when its writer is closed, a rename is a copy and a deletion, object by object, and errors are
of a kind of the client's own. Objects are files of one flat folder, `$BUCKET_ROOT`, so that worker
processes that import this module see them too.
"""

import contextlib
import io
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from apache_beam.io.filesystem import (
    BeamIOError,
    CompressedFile,
    CompressionTypes,
    FileMetadata,
    FileSystem,
)

SCHEME = "bucket://"
ROOT = "BUCKET_ROOT"


class NotFoundError(Exception):
    """The client's own: no OSError, as Google's is none."""


class BucketFileSystem(FileSystem):
    """`on_open` is called with each path that is opened, `on_change` with each change and path,
    `on_request` with the name of each request to look for files, to move or to delete some."""

    on_open: Callable[[str], None] | None = None
    on_request: Callable[[str], None] | None = None
    on_change: Callable[[str, str], None] | None = None

    @classmethod
    def scheme(cls) -> str:
        return "bucket"

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath.rstrip("/"), *(path.strip("/") for path in paths)])

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path: str) -> None:
        """Nothing: there are no folders."""

    def has_dirs(self) -> bool:
        return False

    def _list(self, prefix: str) -> Iterator[FileMetadata]:
        _requested("list")
        for path in objects(prefix):
            yield self.metadata(path)

    def create(
        self,
        path: str,
        mime_type: str = "application/octet-stream",
        compression_type: str = CompressionTypes.AUTO,
    ) -> Any:
        return self._compressed(path, _Writer(path), compression_type)

    def open(
        self,
        path: str,
        mime_type: str = "application/octet-stream",
        compression_type: str = CompressionTypes.AUTO,
    ) -> Any:
        if (hook := BucketFileSystem.on_open) is not None:
            hook(path)
        return self._compressed(path, io.BufferedReader(_Reader(path)), compression_type)

    def _compressed(self, path: str, file: Any, compression_type: str) -> Any:
        kind = self._get_compression_type(path, compression_type)
        if kind == CompressionTypes.UNCOMPRESSED:
            return file
        return CompressedFile(file, compression_type=kind)

    def copy(self, source_file_names: Sequence[str], destination_file_names: Sequence[str]) -> None:
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            _changed("copy", target)
            put(target, get(source))

    def rename(
        self, source_file_names: Sequence[str], destination_file_names: Sequence[str]
    ) -> None:
        """As of gs://: all are copied, then those are deleted that were; errors are told last."""
        _requested("rename")
        pairs = list(zip(source_file_names, destination_file_names, strict=True))
        failed: dict[tuple[str, str], Exception] = {}
        for source, target in pairs:
            with _kept(failed, source, target):
                self.copy([source], [target])
        for source, target in [pair for pair in pairs if pair not in failed]:
            with _kept(failed, source, target):
                _changed("delete", source)
                _existing(source).unlink()
        if failed:
            raise BeamIOError("Rename operation failed", failed)

    def exists(self, path: str) -> bool:
        _requested("exists")
        return _place(path).exists()

    def size(self, path: str) -> int:
        return _existing(path).stat().st_size

    def last_updated(self, path: str) -> float:
        return _existing(path).stat().st_mtime

    def metadata(self, path: str) -> FileMetadata:
        return FileMetadata(path, self.size(path), self.last_updated(path))

    def delete(self, paths: Sequence[str]) -> None:
        """As of gs://, each path is taken for a pattern."""
        _requested("delete")
        for path in paths:
            (result,) = self.match([path])
            for metadata in result.metadata_list:
                _changed("delete", metadata.path)
                _place(metadata.path).unlink()


class _Writer(io.BytesIO):
    def __init__(self, path: str):
        super().__init__()
        self._path = path

    def close(self) -> None:
        if not self.closed:
            content = self.getvalue()
            super().close()
            _changed("create", self._path)
            put(self._path, content)


class _Reader(io.RawIOBase):
    """Looks for its object when it is first read."""

    def __init__(self, path: str):
        self._path = path
        self._content: io.BytesIO | None = None

    def _opened(self) -> io.BytesIO:
        if self._content is None:
            self._content = io.BytesIO(_existing(self._path).read_bytes())
        return self._content

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._opened().readinto(buffer)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._opened().seek(offset, whence)

    def tell(self) -> int:
        return 0 if self._content is None else self._content.tell()


@contextlib.contextmanager
def _kept(failed: dict[tuple[str, str], Exception], source: str, target: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        failed[source, target] = error


def _requested(name: str) -> None:
    if (hook := BucketFileSystem.on_request) is not None:
        hook(name)


def _changed(change: str, path: str) -> None:
    if (hook := BucketFileSystem.on_change) is not None:
        hook(change, path)


def _place(path: str) -> Path:
    if not path.startswith(SCHEME):
        raise BeamIOError(f"no object's path: {path}")
    return Path(os.environ[ROOT], quote(path.removeprefix(SCHEME), safe=""))


def _existing(path: str) -> Path:
    if not (place := _place(path)).exists():
        raise NotFoundError(f"404 {path}")
    return place


def put(path: str, content: bytes) -> None:
    """Makes an object appear at once."""
    place = _place(path)
    part = place.with_name(f".{uuid.uuid4().hex}")
    part.write_bytes(content)
    part.replace(place)


def get(path: str) -> bytes:
    """An object's content."""
    return _existing(path).read_bytes()


def objects(prefix: str = SCHEME) -> list[str]:
    """The paths that begin so, in order."""
    names = (unquote(name) for name in os.listdir(os.environ[ROOT]) if not name.startswith("."))
    return sorted(path for name in names if (path := SCHEME + name).startswith(prefix))


def upload(folder: Path, prefix: str) -> str:
    """A local folder's files as objects; gives `prefix`."""
    for path in folder.rglob("*"):
        if path.is_file():
            put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return prefix
