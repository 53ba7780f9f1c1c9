"""Patterns of paths to exclude, with `*`, `?`, `**` and plain characters."""

import re
from collections.abc import Callable, Sequence

_PART = re.compile(r"(?<![^/])\*\*/|\*+|\?|/\*\*$|[^*?/]+|/", re.DOTALL)


def excluder(patterns: Sequence[str]) -> Callable[[str], bool]:
    """A function that returns whether a path relative to an input is excluded; the path of a folder
    ends with a slash.

    A pattern without a slash matches names of files and folders at any depth: `*.tmp`. A pattern
    with a slash matches paths relative to the input's folder: `old/*.png`, `/notes`. A trailing
    slash matches only folders: `raw/`. Excluding a folder excludes everything in it. `*` matches
    any characters except a slash, `?` one of them; `**/` matches any number of folders, including
    none, and a final `/**` everything in a folder. Matching is case-sensitive.
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
