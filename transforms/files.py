"""Files through Beam's file systems, with shortcuts for local paths."""

import contextlib
import fnmatch
import gzip
import os
import posixpath
import re
from collections.abc import Iterator
from typing import BinaryIO

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from ae_models.errors import InputError

_ODD = re.compile(r"/[./]")  # what a plain path has not
_WILDCARD = re.compile(r"[*?\[]")


def is_local(path: str) -> bool:
    """Whether the path is on this machine's file system, not behind a scheme such as gs://."""
    return FileSystems.get_scheme(path) is None


def is_glob(path: str) -> bool:
    """Whether the path is a pattern; a file that is really named so is not."""
    return bool(_WILDCARD.search(path)) and not (is_local(path) and os.path.exists(path))


def open_binary(path: str) -> BinaryIO:
    """Opens a file for reading its bytes as they are.

    Raises:
      OSError: it cannot be opened.
    """
    if is_local(path):
        return open(path, "rb")
    try:
        return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    except BeamIOError as error:
        raise OSError(str(error)) from error


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
    if is_local(path) and os.path.isdir(path):
        return path.rstrip("/") or "/"
    return posixpath.dirname(path)


def relative_path(path: str, root: str) -> str:
    """`path` as seen from `root`, with forward slashes."""
    rest = path[len(root) + 1 :]
    if path.startswith(f"{root}/") and not rest.startswith((".", "/")) and not _ODD.search(rest):
        return printable(rest)
    if is_local(path):
        return printable(os.path.relpath(path, root or ".").replace(os.sep, "/"))
    return path[len(root.rstrip("/")) + 1 :]


def printable(path: str) -> str:
    """A path as valid Unicode: bytes of a name that are no UTF-8 are written as `\\xe9`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace") if not path.isascii() else path


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
    return posixpath.commonpath(roots).replace(":/", "://", 1)


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
    return iter(_match(path if is_glob(path) else f"{path.rstrip('/')}**"))


def _walk(folder: str) -> Iterator[str]:
    for parent, folders, names in os.walk(folder, onerror=_unlisted):
        folders.sort()
        for name in sorted(names):
            yield os.path.join(parent, name)


def _unlisted(error: OSError) -> None:
    """A folder that cannot be listed hides records: nobody could count them."""
    raise InputError(f"cannot list {error.filename}: {error.strerror}") from error


def _match(pattern: str) -> list[str]:
    if is_local(pattern) and not posixpath.dirname(pattern):
        pattern = f"./{pattern}"  # without a folder, Beam's matching finds nothing
    try:
        (result,) = FileSystems.match([pattern])
    except (BeamIOError, ValueError) as error:
        raise InputError(f"cannot list {pattern}: {error}") from error
    if not result.metadata_list:
        raise InputError(f"no file matches {pattern}")
    return sorted(metadata.path for metadata in result.metadata_list)


def matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether the file's name, in lower case, matches one of the patterns."""
    name = posixpath.basename(path).lower()
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
