"""Patterns of paths that are not to be read, of `*`, `?` and `**` and plain characters."""

import re
from collections.abc import Callable, Sequence

_PART = re.compile(r"(?<![^/])\*\*/|\*+|\?|/\*\*$|[^*?/]+|/", re.DOTALL)


def excluder(patterns: Sequence[str]) -> Callable[[str], bool]:
    """A function that tells whether a path relative to an input is excluded: that of a file, or
    that of a folder with a slash at its end.

    A pattern without a slash is one of names of files and folders at any depth: `*.tmp`. One with a
    slash is one of paths from the input's folder on: `old/*.png`, `/notes`. A slash at its end is
    for folders alone: `raw/`. A folder is excluded with all that is in it. `*` is any characters
    but a slash, `?` one of them; `**/` is any number of folders, also none, and `/**` at the end
    all that is in a folder. Upper and lower case differ.
    """
    if not patterns:
        return lambda _: False
    expression = re.compile("|".join(map(_expression, patterns)), re.DOTALL)
    return lambda path: expression.fullmatch(path) is not None


def _expression(pattern: str) -> str:
    folders_alone = pattern.endswith("/")
    body = pattern.removesuffix("/")
    anywhere = "" if "/" in body else "(?:.*/)?"
    translated = "".join(map(_translated, _PART.findall(body.removeprefix("/"))))
    return f"(?:{anywhere}{translated}{'/.*' if folders_alone else '(?:/.*)?'})"


def _translated(part: str) -> str:
    if part == "**/":
        return "(?:.*/)?"
    if part == "/**":
        return "/.+"
    if part.startswith("*"):
        return "[^/]*"
    return "[^/]" if part == "?" else re.escape(part)
