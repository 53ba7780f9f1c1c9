"""The pages that people read: the examples in them, and where their links lead."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.project import PROJECT

DOCS = PROJECT / "docs"
_FENCE = re.compile(r"^( *)(`{3,}|~{3,})\s*([\w+-]*)\s*$")
_ITEM = re.compile(r"^\s*([-*+]|[0-9]+\.)\s")
# How lines begin that a shell runs, in blocks that name no language.
_SHELL = (
    "latentbeam ",
    "$ ",
    "make ",
    "pip ",
    "uv ",
    "python ",
    "docker ",
    "gcloud ",
    "bq ",
    "IMAGE=",
)
_PYTHON = ("import ", "from ")


class Block(NamedTuple):
    """An example of a page: a fenced block of a language, or an indented one.

    Attributes:
      page: its path in the project.
      line: where it begins, from 1.
      language: `sh` and `python` also where the page names none; empty where it is neither.
      text: its lines, without an indent.
    """

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page of the project, wherever it is."""
    folders = ("docs", "deploy", ".github")
    found = [path for name in folders for path in (PROJECT / name).rglob("*.md")]
    return sorted([*PROJECT.glob("*.md"), *found])


def blocks(path: Path) -> list[Block]:
    """The examples of a page, in their order."""
    name = path.relative_to(PROJECT).as_posix()
    return [Block(name, *found) for found in _blocks(path.read_text(encoding="utf-8"))]


def prose(path: Path) -> str:
    """A page without its examples: lines of these are empty."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for _, first, last in _fences(lines):
        lines[first : last + 1] = [""] * (last + 1 - first)
    for first, last in _indented(lines):
        lines[first : last + 1] = [""] * (last + 1 - first)
    return "\n".join(lines)


def code_blocks(page: str, language: str, section: str | None = None) -> list[str]:
    """The blocks of a language, of a whole page of docs/ or of the section with a heading."""
    text = (DOCS / page).read_text(encoding="utf-8")
    if section is not None:
        (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def _blocks(text: str) -> Iterator[tuple[int, str, str]]:
    lines = text.splitlines()
    found = []
    for language, first, last in _fences(lines):
        margin = len(lines[first]) - len(lines[first].lstrip())
        inside = [line[margin:] for line in lines[first + 1 : last]]
        found.append((first + 1, language, "".join(f"{line}\n" for line in inside)))
        lines[first : last + 1] = [""] * (last + 1 - first)
    for first, last in _indented(lines):
        inside = [line[4:] for line in lines[first : last + 1]]
        text = "".join(f"{line}\n" for line in inside)
        found.append((first + 1, _guessed(text), text))
    return iter(sorted(found))


def _fences(lines: list[str]) -> list[tuple[str, int, int]]:
    """The language, first and last line of each."""
    found, begun = [], None
    for number, line in enumerate(lines):
        match = _FENCE.match(line)
        if match and begun is None:
            begun = (match[2], match[3], number)
        elif match and begun and match[2].startswith(begun[0]) and not match[3]:
            found.append((begun[1], begun[2], number))
            begun = None
    assert begun is None, f"line {begun}: a block without an end"
    return found


def _indented(lines: list[str]) -> list[tuple[int, int]]:
    """The first and last line of each indented block; lines of a list's items are none."""
    found: list[tuple[int, int]] = []
    in_list, before = False, ""
    for number, line in enumerate(lines):
        if line.strip() and not line.startswith("    "):
            in_list = bool(_ITEM.match(line)) or (in_list and line.startswith(" "))
        elif line.strip() and not in_list:
            end = found[-1][1] if found else number
            near = not "".join(lines[end + 1 : number]).strip()
            begins = not before.strip() and line[4:].startswith((*_SHELL, *_PYTHON))
            if found and near and not begins:
                found[-1] = (found[-1][0], number)
            elif not before.strip():
                found.append((number, number))
        before = line
    return found


def _guessed(text: str) -> str:
    if text.startswith(_SHELL):
        return "sh"
    return "python" if text.startswith(_PYTHON) else ""
