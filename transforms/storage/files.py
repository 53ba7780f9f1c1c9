"""Listing, inspecting and reading files and folders, locally and on object stores."""

import dataclasses
import functools
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from ae_models.errors import InputError
from transforms.records.passed_over import PassedOver
from transforms.storage import remote
from transforms.storage.exclusion import excluder
from transforms.storage.paths import before_wildcard, is_glob, is_local
from transforms.storage.walk import Rules, open_within, walk

_READ_BYTES = 16 << 20  # read of a remote file at a time


def open_binary(path: str, within: str | None = None) -> BinaryIO:
    """Opens a file for reading bytes.

    Args:
      path: the path of the file.
      within: the real path of a local folder that the file must be in after resolving links; None:
        it may be anywhere.

    Raises:
      OSError: it cannot be opened, or is outside `within`.
    """
    if not is_local(path):
        return remote.open_object(path)
    return open(path, "rb") if within is None else open_within(path, within)


class TooLargeError(OSError):
    """A file exceeds the size limit."""


def read_whole(path: str, most: int, within: str | None = None) -> bytes:
    """The bytes of a file of at most `most` bytes; of a larger file, no more than that is read.

    `within` is as for `open_binary`.

    Raises:
      TooLargeError: the file is larger.
      OSError: it cannot be read, or is not a regular file; reading a pipe would block.
    """
    if is_local(path):
        facts = os.stat(path)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(f"{path} is not a regular file")
        if facts.st_size > most:
            raise TooLargeError(f"{facts.st_size} bytes; the limit is {most}")
    with open_binary(path, within) as file:
        if is_local(path):
            return file.read()
        content = b""
        while more := file.read(min(_READ_BYTES, most + 1 - len(content))):
            content += more
            if len(content) > most:
                raise TooLargeError(f"more than {most} bytes")
        return content


def fixed_root(path: str) -> str:
    """The folder that ids are relative to: the folder itself, the folder that contains the file, or
    the last folder before a glob's first wildcard."""
    if is_glob(path):
        return posixpath.dirname(before_wildcard(path) + "x")
    if is_folder(path):
        return path.rstrip("/") or "/"
    return posixpath.dirname(path)


def is_folder(path: str) -> bool:
    """Whether the path is a folder: on an object store, whether names begin with it and a slash.

    Raises:
      InputError: an object store cannot be queried.
    """
    if is_local(path):
        return os.path.isdir(path)
    try:
        return path.endswith("/") or bool(remote.matched(remote.below(path), limit=2))
    except OSError as error:
        raise InputError(f"cannot list {path}: {error}") from error


def list_files(
    path: str,
    passed_over: PassedOver | None = None,
    *,
    exclude: Sequence[str] = (),
    follow_links: bool = False,
) -> Iterator[str]:
    """The files of a folder (recursively), those that match a glob, or a single file, in a fixed
    order.

    A local folder is walked lazily (`walk`); a remote listing is kept in memory. Names that begin
    with a dot are passed over, unless the path or the pattern names them. What a pattern does not
    match is not counted as passed over.

    Args:
      path: the folder, glob or file, as the user gave it.
      passed_over: counts what is passed over; it is complete after the last file.
      exclude: patterns, as for `excluder`, of paths relative to the folder, or to the last folder
        before a glob's first wildcard. A file given by its own path is always read.
      follow_links: whether to follow local links that lead out of that folder.

    Raises:
      InputError: nothing is there, or it cannot be listed.
    """
    passed_over = PassedOver() if passed_over is None else passed_over
    rules = Rules(
        excluder(exclude),
        follow_links,
        hidden=is_glob(path) and _names_hidden(path),
    )
    if not is_local(path):
        found = _found(path) if is_glob(path) else _found(remote.below(path), path)
        return _kept(found, path, rules, passed_over)
    if is_glob(path):
        pattern = path if "/" in path else f"./{path}"
        return _matching(path, dataclasses.replace(rules, pattern=pattern), passed_over)
    if os.path.isdir(path):
        return walk(path, rules, passed_over)
    if os.path.exists(path):
        return iter([path])
    raise InputError(f"no such file or folder: {path}")


def exists(path: str) -> bool:
    """Whether a file or folder exists.

    Raises:
      OSError: an object store cannot be queried.
    """
    return os.path.exists(path) if is_local(path) else remote.object_exists(path)


class FileStates:
    """What distinguishes a file from a later one with the same path: size and modification time.

    Local files are queried one by one. A remote folder or glob is listed once more, and the listing
    kept in memory: a request per file would take longer than reading the files.

    Args:
      path: the folder, glob or file from which the files were listed.
    """

    def __init__(self, path: str):
        self._path = path

    def size(self, path: str) -> int:
        """The size in bytes; 0 if it is unknown."""
        return self._found(path)[0]

    def state(self, path: str) -> str:
        """The state as text without NUL; a missing file has a state that no other file has."""
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
        pattern = self._path if is_glob(self._path) else remote.below(self._path)
        try:
            found = remote.matched(pattern) or remote.matched(self._path)
        except OSError as error:
            raise InputError(f"cannot list {self._path}: {error}") from error
        return {m.path: (m.size_in_bytes, m.last_updated_in_seconds) for m in found}


def files_below(folder: str) -> list[str]:
    """The files of a folder and the links in it, in order: recursively, except on a remote file
    system with folders. The list is empty if the folder does not exist.

    Raises:
      OSError: it cannot be listed.
    """
    if is_local(folder):
        return sorted(_files_and_links(folder)) if os.path.isdir(folder) else []
    with remote.client_errors():
        if remote.has_folders(folder) and not remote.object_exists(folder):
            return []
    return _matched(remote.below(folder))


def present(paths: Iterable[str], folder: str) -> set[str]:
    """Those of the files that exist. An object store is queried once for everything in `folder`,
    which contains the files; a file system with folders once per folder.

    Raises:
      OSError: it cannot be listed.
    """
    if is_local(folder):
        return {path for path in paths if os.path.exists(path)}
    if not remote.has_folders(folder):
        return set(paths).intersection(files_below(folder))
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        by_folder.setdefault(posixpath.dirname(path), []).append(path)
    found: set[str] = set()
    for parent, files in by_folder.items():
        names = {posixpath.basename(path) for path in files_below(parent)}
        found.update(path for path in files if posixpath.basename(path) in names)
    return found


def _files_and_links(folder: str) -> Iterator[str]:
    for parent, folders, names in os.walk(folder, onerror=_raise):
        paths = [os.path.join(parent, name) for name in (*names, *folders)]
        yield from paths[: len(names)]
        yield from filter(os.path.islink, paths[len(names) :])


def _raise(error: OSError) -> None:
    raise error


def _matching(pattern: str, rules: Rules, passed_over: PassedOver) -> Iterator[str]:
    """The local files that match."""
    root = pattern[: before_wildcard(pattern).rfind("/") + 1] or "./"
    found = False
    if os.path.isdir(root):
        for path in walk(root, rules, passed_over):
            found = True
            yield path
    if not found:
        raise InputError(f"no files match {pattern}{passed_over.in_brackets()}")


def _kept(paths: list[str], given: str, rules: Rules, passed_over: PassedOver) -> Iterator[str]:
    """The remote files to read, among those that a listing of `given` found."""
    root = posixpath.dirname(before_wildcard(given) + "x") if is_glob(given) else given
    start = len(root.rstrip("/")) + 1
    for path in paths:
        cause = None if path == given else rules.cause(path[start:])
        if cause is None:
            yield path
        else:
            passed_over.add(cause, path)


def _names_hidden(pattern: str) -> bool:
    """Whether a part of it that is a pattern, or follows one, begins with a dot."""
    parts = pattern[before_wildcard(pattern).rfind("/") + 1 :].split("/")
    return any(part.startswith(".") and part.strip(".") for part in parts)


def _found(*patterns: str) -> list[str]:
    """The files of the first pattern that matches any."""
    try:
        found = next(filter(None, map(_matched, patterns)), [])
    except OSError as error:
        raise InputError(f"cannot list {patterns[-1]}: {error}") from error
    if not found:
        what = "no files match" if is_glob(patterns[-1]) else "no such file or folder:"
        raise InputError(f"{what} {patterns[-1]}")
    return found


def _matched(pattern: str) -> list[str]:
    """The files that match, in order.

    Raises:
      OSError: they cannot be listed.
    """
    if is_local(pattern) and not posixpath.dirname(pattern):
        pattern = f"./{pattern}"  # without a folder, Beam's matching finds nothing
    return sorted(m.path for m in remote.matched(pattern))
