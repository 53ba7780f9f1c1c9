"""Walks a local folder, and determines what is read and what is passed over."""

import collections
import dataclasses
import functools
import os
import posixpath
import re
import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO

from apache_beam.io.filesystem import FileSystem

from ae_models.errors import InputError
from transforms.records.passed_over import Cause, PassedOver

# How often links may lead to one folder: otherwise a few links to links make endless files.
MOST_VISITS = 100
_MASK = re.compile(r"(^|/)ground_truth/([^/]+/)*[^/]+_mask\.[^./]+$")


@dataclasses.dataclass(frozen=True)
class Rules:
    """What is read below a folder.

    excluded: whether a path relative to the folder is excluded; that of a folder ends with a slash.
    follow_links: whether links that lead out of the folder are followed.
    hidden: whether names that begin with a dot are read.
    pattern: pattern of full paths; None: all. What it does not match does not count as passed over.
    """

    excluded: Callable[[str], bool] = lambda _: False
    follow_links: bool = False
    hidden: bool = False
    pattern: str | None = None

    @functools.cached_property
    def _matches(self) -> Callable[[str], object]:
        return re.compile(FileSystem.translate_pattern(self.pattern or "**")).match

    @functools.cached_property
    def _may_hold(self) -> Callable[[str], object]:
        """Matches the folders that may contain what the pattern matches."""
        parts = (self.pattern or "**").split("/")
        deep = next((n for n, part in enumerate(parts) if "**" in part), None)
        heads = ["/".join(parts[:n]) for n in range(1, len(parts) if deep is None else deep + 1)]
        if deep is not None:
            heads.append("/".join([*parts[:deep], parts[deep].partition("**")[0] + "**"]))
        return re.compile("|".join(f"(?:{_expression(head)})" for head in heads)).fullmatch

    def is_of_pattern(self, path: str, is_folder: bool) -> bool:
        """Whether the pattern matches the file, or may match any in the folder."""
        if self.pattern is None:
            return True
        return bool(self._may_hold(path) if is_folder else self._matches(path))

    def cause(self, relative: str) -> Cause | None:
        """Why an entry with this path, of any type, is passed over; None if it is not."""
        if self.excluded(relative):
            return Cause.EXCLUDED
        if _MASK.search(relative):
            return Cause.MASK
        return Cause.HIDDEN if "/." in f"/{relative}" and not self.hidden else None


@dataclasses.dataclass(frozen=True)
class _Folder:
    """A folder of the walk: its path, its path relative to the root, its real path, and the folder
    in which it, or a link to it, was found."""

    path: str
    relative: str
    real: str
    parent: "_Folder | None"

    def is_within(self, real: str) -> bool:
        """Whether this folder, or one on the way to it, is `real` or is in it."""
        folder: _Folder | None = self
        while folder is not None:
            if _is_in(folder.real, real):
                return True
            folder = folder.parent
        return False


def walk(root: str, rules: Rules, passed_over: PassedOver) -> Iterator[str]:
    """The files of a folder, recursively, in a fixed order: the files of a folder, by name, before
    those of its subfolders. Only one folder's names are in memory at a time, plus the names of the
    folders yet to be entered.

    A link is followed if its real path is in that of `root`, or if `follow_links` is set. A link to
    a folder is followed only if the link is not within that folder.

    Raises:
      InputError: `root` cannot be listed.
    """
    return _Walk(root, rules, passed_over).files()


def open_within(path: str, folder: str) -> BinaryIO:
    """Opens a regular file for reading if its real path is in a folder: links may have changed
    since the folder was walked.

    Raises:
      OSError: it is not in the folder, is not a regular file, or cannot be opened.
    """
    # Opening a pipe would block.
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115 - the caller closes it
    try:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} is not a regular file")
        if not _is_in(_opened_path(file.fileno(), path), folder):
            raise OSError(f"{path} is outside {folder}")
    except BaseException:
        file.close()
        raise
    return file


def _opened_path(descriptor: int, path: str) -> str:
    """The real path of an open file that was opened as `path`."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:  # not Linux
        real = os.path.realpath(path)
        if not os.path.samestat(os.stat(real), os.fstat(descriptor)):
            raise OSError(f"{path} changed while it was opened") from None
        return real


class _Walk:
    def __init__(self, root: str, rules: Rules, passed_over: PassedOver):
        self._rules, self._passed_over = rules, passed_over
        self._root = _Folder(root, "", os.path.realpath(root), None)
        self._real_folder = functools.lru_cache(maxsize=4096)(os.path.realpath)
        self._visits = collections.Counter[str]()

    def files(self) -> Iterator[str]:
        waiting = [self._root]
        while waiting:
            folder = waiting.pop()
            try:
                names, others = _listed(folder.path)
            except OSError as error:
                if folder is self._root:
                    reason = error.strerror or error
                    raise InputError(f"cannot list {folder.path}: {reason}") from error
                self._passed_over.add(Cause.NOT_ENTERED, folder.path)
                continue
            inner = []
            for name in names:
                path = os.path.join(folder.path, name)
                if (kind := others.get(name)) is None:
                    if self._is_read(folder, name, path, is_folder=False):
                        yield path
                elif (found := self._entered(folder, name, path, kind)) is not None:
                    if isinstance(found, _Folder):
                        inner.append(found)
                    else:
                        yield found
            waiting += reversed(inner)

    def _is_read(self, folder: _Folder, name: str, path: str, is_folder: bool) -> bool:
        if not self._rules.is_of_pattern(path, is_folder):
            return False
        cause = self._rules.cause(f"{folder.relative}{name}{'/' if is_folder else ''}")
        if cause is not None:
            self._passed_over.add(cause, path)
        return cause is None

    def _entered(self, folder: _Folder, name: str, path: str, kind: str) -> _Folder | str | None:
        """What a folder or link leads to: a folder, the path of a file, or None if not read."""
        is_link = kind == _LINK
        is_folder = not is_link or os.path.isdir(path)
        if not self._is_read(folder, name, path, is_folder):
            return None
        if not is_link:
            real = posixpath.join(folder.real, name)
        elif (target := self._target(folder, path, is_folder)) is not None:
            real = target
        else:
            self._passed_over.add(Cause.LINK, path)
            return None
        return _Folder(path, f"{folder.relative}{name}/", real, folder) if is_folder else path

    def _target(self, folder: _Folder, path: str, is_folder: bool) -> str | None:
        """The real path of a link; None if it is not followed."""
        if not (is_folder or os.path.exists(path)):
            return None
        real = self._real_path(folder, path)
        if not (self._rules.follow_links or _is_in(real, self._root.real)):
            return None
        if is_folder:
            self._visits[real] += 1
            if folder.is_within(real) or self._visits[real] > MOST_VISITS:
                return None
        return real

    def _real_path(self, folder: _Folder, path: str) -> str:
        """The real path of a link in the folder. The targets of neighbouring links are often in one
        folder, so the real paths of folders are cached."""
        parent, name = os.path.split(os.readlink(path))
        real = os.path.join(self._real_folder(os.path.join(folder.real, parent)), name)
        is_plain = name not in ("", ".", "..") and not os.path.islink(real)
        return real if is_plain else os.path.realpath(path)


_FOLDER, _LINK = "folder", "link"


def _listed(path: str) -> tuple[list[str], dict[str, str]]:
    """The names in a folder, in order, and which of them are folders or links."""
    names, others = [], {}
    with os.scandir(path) as entries:
        for entry in entries:
            names.append(entry.name)
            if entry.is_symlink():
                others[entry.name] = _LINK
            elif entry.is_dir(follow_symlinks=False):
                others[entry.name] = _FOLDER
    return sorted(names), others


def _is_in(path: str, folder: str) -> bool:
    """Whether a real path is that of the folder or of something in it."""
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def _expression(pattern: str) -> str:
    """Beam's expression for a pattern, without the flags, which are valid only at the start."""
    return FileSystem.translate_pattern(pattern).removeprefix("(?ms)").removesuffix("\\Z")
