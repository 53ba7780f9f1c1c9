"""Paths as text: which are local, which are patterns, and how to make them relative."""

import fnmatch
import os
import posixpath
import re

from ae_models.errors import InputError, OutputError
from transforms.records.text import printable

_ODD = re.compile(r"/[./]")  # not in a plain path
_SCHEME = re.compile(r"([a-zA-Z][-a-zA-Z0-9+.]*)://")
_WILDCARD = re.compile(r"[*?\[]")


def scheme(path: str) -> str | None:
    """`gs` for gs://bucket/object; None for a path on this machine's file system."""
    found = _SCHEME.match(path)
    return found and found[1]


def is_local(path: str) -> bool:
    """Whether the path is on this machine's file system, without a scheme such as gs://."""
    return scheme(path) is None


def has_wildcard(path: str) -> bool:
    """Whether a pattern matcher would interpret the path, or an object's name, as a pattern."""
    return bool(_WILDCARD.search(path))


def is_glob(uri: str) -> bool:
    """Whether an `--input` is a pattern; the name of an existing file is not."""
    return has_wildcard(uri) and not (is_local(uri) and os.path.lexists(uri))


def before_wildcard(pattern: str) -> str:
    """The part of a pattern before its first wildcard."""
    return _WILDCARD.split(pattern, maxsplit=1)[0]


def check_no_pattern(output: str) -> None:
    """Raises OutputError if object stores would interpret `output` as a pattern: deleting it might
    delete someone else's files."""
    if not is_local(output) and has_wildcard(output):
        raise OutputError(
            f"an output path on an object store must not contain *, ? or [. Received: {output}"
        )


def check_one(path: str) -> None:
    """Raises InputError if object stores would interpret `path`, which must be one file or folder,
    as a pattern."""
    if not is_local(path) and has_wildcard(path):
        raise InputError(
            f"this path on an object store must not contain *, ? or [. Received: {path}"
        )


def relative_path(path: str, root: str) -> str:
    """`path` relative to `root`, with forward slashes."""
    rest = path[len(root) + 1 :]
    if path.startswith(f"{root}/") and not rest.startswith((".", "/")) and not _ODD.search(rest):
        return printable(rest)
    if is_local(path):
        return printable(os.path.relpath(path, root or ".").replace(os.sep, "/"))
    return path[len(root.rstrip("/")) + 1 :]


def parent_name(path: str) -> str:
    """The name of the folder that contains the file, even if it is the current folder."""
    name = posixpath.basename(posixpath.dirname(path))
    if name in ("", ".", "..") and is_local(path):
        name = posixpath.basename(posixpath.dirname(os.path.abspath(path)))
    return printable(name)


def common_root(roots: list[str]) -> str:
    """The deepest folder that contains all `roots`.

    Raises:
      InputError: they are on different file systems.
    """
    schemes = {scheme(root) for root in roots}
    if len(schemes) > 1:
        raise InputError(f"inputs are on different file systems: {', '.join(sorted(roots))}")
    if schemes == {None}:
        return os.path.commonpath([os.path.abspath(root) for root in roots])
    shared = posixpath.commonpath(roots)  # "gs:/b" for one bucket, "gs:" for several
    return shared.replace(":/", "://", 1) if "/" in shared else f"{shared}/"


def matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether the file's name, in lower case, matches one of the patterns."""
    name = posixpath.basename(path).lower()
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
