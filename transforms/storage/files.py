"""Files through Beam's file systems, with shortcuts for local paths."""

import contextlib
import fnmatch
import functools
import gzip
import io
import os
import posixpath
import re
import stat
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from apache_beam.io.filesystem import CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems

from ae_models.errors import InputError, LatentbeamError, OutputError
from transforms.records.text import printable

_ODD = re.compile(r"/[./]")  # what a plain path has not
_READ_BYTES = 16 << 20  # of a remote file, at once
_WILDCARD = re.compile(r"[*?\[]")


def is_local(path: str) -> bool:
    """Whether the path is on this machine's file system, not behind a scheme such as gs://."""
    return FileSystems.get_scheme(path) is None


def is_glob(path: str) -> bool:
    """Whether the path is a pattern; a file that is really named so is not."""
    return bool(_WILDCARD.search(path)) and not (is_local(path) and os.path.exists(path))


def check_no_pattern(output: str) -> None:
    """Raises OutputError if object stores would take `output` for a pattern: what is deleted there
    might be someone else's."""
    if not is_local(output) and is_glob(output):
        raise OutputError(
            f"an output on an object store cannot have any of *?[. Received: {output}"
        )


def open_binary(path: str) -> BinaryIO:
    """Opens a file for reading its bytes as they are.

    Raises:
      OSError: it cannot be opened.
    """
    if is_local(path):
        return open(path, "rb")
    with client_errors():
        file = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return io.BufferedReader(_RemoteFile(file))


class TooLargeError(OSError):
    """A file that is larger than it may be."""


def read_whole(path: str, most: int) -> bytes:
    """The bytes of a file, at most `most`: of a larger one, no more are read.

    Raises:
      TooLargeError: it is larger.
      OSError: it cannot be read, or is no plain file; a pipe would keep its reader waiting.
    """
    if is_local(path):
        facts = os.stat(path)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(f"{path} is no plain file")
        if facts.st_size > most:
            raise TooLargeError(f"{facts.st_size} bytes, more than {most}")
    with open_binary(path) as file:
        if is_local(path):
            return file.read()
        content = b""
        while more := file.read(min(_READ_BYTES, most + 1 - len(content))):
            content += more
            if len(content) > most:
                raise TooLargeError(f"more than {most} bytes")
        return content


@contextlib.contextmanager
def client_errors() -> Iterator[None]:
    """Turns what the client of an object store raises, each of a kind of its own, into OSErrors."""
    try:
        yield
    except (OSError, LatentbeamError):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


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


@contextlib.contextmanager
def open_decompressed(path: str) -> Iterator[BinaryIO]:
    """Opens a file for reading, decompressed where its name ends in .gz.

    Python's own gzip, unlike Beam's reader, notices that a file was cut short.

    Raises:
      OSError, EOFError, zlib.error: it cannot be opened or, later, read.
    """
    with open_binary(path) as file:
        if not path.endswith(".gz"):
            yield file
            return
        with gzip.GzipFile(fileobj=file) as content:
            yield content  # type: ignore[misc]


def fixed_root(path: str) -> str:
    """The folder that ids are relative to: a folder itself, else the one that holds the file, or
    the last one before a glob's first wildcard."""
    if is_glob(path):
        path = path[: _WILDCARD.search(path).start()] + "x"  # type: ignore[union-attr]
        return posixpath.dirname(path)
    if is_folder(path):
        return path.rstrip("/") or "/"
    return posixpath.dirname(path)


def is_folder(path: str) -> bool:
    """Whether the path is a folder: on an object store, whether names begin with it and a slash.

    Raises:
      InputError: an object store cannot be asked.
    """
    if is_local(path):
        return os.path.isdir(path)
    try:
        return path.endswith("/") or bool(_matched(_below(path), limit=2))
    except OSError as error:
        raise InputError(f"cannot list {path}: {error}") from error


def relative_path(path: str, root: str) -> str:
    """`path` as seen from `root`, with forward slashes."""
    rest = path[len(root) + 1 :]
    if path.startswith(f"{root}/") and not rest.startswith((".", "/")) and not _ODD.search(rest):
        return printable(rest)
    if is_local(path):
        return printable(os.path.relpath(path, root or ".").replace(os.sep, "/"))
    return path[len(root.rstrip("/")) + 1 :]


def parent_name(path: str) -> str:
    """The name of the folder that holds the file, of the current one too."""
    name = posixpath.basename(posixpath.dirname(path))
    if name in ("", ".", "..") and is_local(path):
        name = posixpath.basename(posixpath.dirname(os.path.abspath(path)))
    return printable(name)


def common_root(roots: list[str]) -> str:
    """The deepest folder that holds all `roots`.

    Raises:
      InputError: they are on different file systems.
    """
    schemes = {FileSystems.get_scheme(root) for root in roots}
    if len(schemes) > 1:
        raise InputError(f"inputs on different file systems: {', '.join(sorted(roots))}")
    if schemes == {None}:
        return os.path.commonpath([os.path.abspath(root) for root in roots])
    shared = posixpath.commonpath(roots)  # "gs:/b" of one bucket, "gs:" of several
    return shared.replace(":/", "://", 1) if "/" in shared else f"{shared}/"


def list_files(path: str) -> Iterator[str]:
    """The files of a folder, all levels down, of a glob, or the one file: in a fixed order.

    A local folder is walked as it is listed; other listings are held in memory.

    Raises:
      InputError: nothing is there.
    """
    if is_local(path) and not is_glob(path):
        if os.path.isdir(path):
            return _walk(path)
        if os.path.exists(path):
            return iter([path])
        raise InputError(f"no such file or folder: {path}")
    return iter(_found(path) if is_glob(path) else _found(_below(path), path))


def exists(path: str) -> bool:
    """Whether a file or folder is there.

    Raises:
      OSError: an object store cannot be asked.
    """
    with client_errors():
        return bool(FileSystems.exists(path))


class FileStates:
    """What tells a file from a later one of the same path: its size and modification time.

    Local files are asked for one by one. A remote folder or glob is listed once more, and held in
    memory: a request for each file would take longer than reading them.

    Args:
      path: the folder, glob or file that they were listed by.
    """

    def __init__(self, path: str):
        self._path = path

    def size(self, path: str) -> int:
        """In bytes; 0 where it cannot be told."""
        return self._found(path)[0]

    def state(self, path: str) -> str:
        """A text without NUL; that of a file which is gone is like no other."""
        return " ".join(map(str, self._found(path)))

    def _found(self, path: str) -> tuple[int, float | str]:
        if not is_local(self._path):
            return self._remote.get(path, (0, "gone"))
        try:
            found = os.stat(path)
        except OSError:
            return 0, "gone"
        return found.st_size, found.st_mtime_ns

    @functools.cached_property
    def _remote(self) -> dict[str, tuple[int, float]]:
        pattern = self._path if is_glob(self._path) else _below(self._path)
        try:
            found = _metadata(pattern) or _metadata(self._path)
        except OSError as error:
            raise InputError(f"cannot list {self._path}: {error}") from error
        return {m.path: (m.size_in_bytes, m.last_updated_in_seconds) for m in found}


def files_below(folder: str) -> list[str]:
    """The files of a remote folder, all levels down where the store has no folders, in order.

    Raises:
      OSError: it cannot be listed.
    """
    with client_errors():
        if FileSystems.get_filesystem(folder).has_dirs() and not FileSystems.exists(folder):
            return []
    return _matched(_below(folder))


def present(paths: Iterable[str], folder: str) -> set[str]:
    """Those of the files that are there. An object store is asked once for all that is in `folder`,
    which they lie in, one with folders once for each folder.

    Raises:
      OSError: it cannot be listed.
    """
    if is_local(folder):
        return {path for path in paths if os.path.exists(path)}
    if not FileSystems.get_filesystem(folder).has_dirs():
        return set(paths).intersection(files_below(folder))
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        by_folder.setdefault(posixpath.dirname(path), []).append(path)
    found: set[str] = set()
    for parent, files in by_folder.items():
        names = {posixpath.basename(path) for path in files_below(parent)}
        found.update(path for path in files if posixpath.basename(path) in names)
    return found


def _walk(folder: str) -> Iterator[str]:
    for parent, folders, names in os.walk(folder, onerror=_unlisted):
        folders.sort()
        for name in sorted(names):
            yield os.path.join(parent, name)


def _unlisted(error: OSError) -> None:
    """A folder that cannot be listed hides records: nobody could count them."""
    raise InputError(f"cannot list {error.filename}: {error.strerror}") from error


def _below(folder: str) -> str:
    """The pattern of all that is in a folder: with a slash, lest `img` stand for `img-old` too."""
    return f"{folder.rstrip('/')}/**"


def _found(*patterns: str) -> list[str]:
    """The files of the first pattern that matches any."""
    try:
        found = next(filter(None, map(_matched, patterns)), [])
    except OSError as error:
        raise InputError(f"cannot list {patterns[-1]}: {error}") from error
    if not found:
        what = "no file matches" if is_glob(patterns[-1]) else "no such file or folder:"
        raise InputError(f"{what} {patterns[-1]}")
    return found


def _matched(pattern: str, limit: int | None = None) -> list[str]:
    """The files that match, in order; at most `limit` are looked at.

    Raises:
      OSError: they cannot be listed.
    """
    if is_local(pattern) and not posixpath.dirname(pattern):
        pattern = f"./{pattern}"  # without a folder, Beam's matching finds nothing
    return sorted(m.path for m in _metadata(pattern, limit))


def _metadata(pattern: str, limit: int | None = None) -> list[FileMetadata]:
    with client_errors():
        (result,) = FileSystems.match([pattern], [limit])
    # Object stores' own tools mark folders by empty objects whose names end with a slash.
    return [m for m in result.metadata_list if not m.path.endswith("/")]


def matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether the file's name, in lower case, matches one of the patterns."""
    name = posixpath.basename(path).lower()
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
