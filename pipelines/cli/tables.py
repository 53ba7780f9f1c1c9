"""Results as lines of text: aligned on a terminal, plain elsewhere."""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias

from pipelines.console.escape import shown

UNKNOWN = "not known"
_NUMBER = re.compile(rf"[\d.,]+%?( \(.*\))?|{UNKNOWN}|")
_GAP = "  "


class Fact(NamedTuple):
    """A value with its name."""

    name: str
    text: str


class Table(NamedTuple):
    """Rows of cells; the first row is the heading, and the first column contains names."""

    rows: Sequence[Sequence[str]]


Item: TypeAlias = str | Fact | Table  # a str is one line


def rendered(items: Sequence[Item], aligned: bool) -> list[str]:
    """The lines of a result.

    Args:
      items: the content of the result.
      aligned: for a terminal: facts in two columns, numbers flush right, a rule under each heading.
        Otherwise, `name: text` and columns flush left, a format that scripts may rely on.
    """
    width = max((len(shown(item.name)) for item in items if isinstance(item, Fact)), default=0)
    lines: list[str] = []
    for item in items:
        match item:
            case Table(rows) if aligned:
                lines += ["", *_ruled(rows), ""]
            case Table(rows):
                lines += _columns(rows, [False] * len(rows[0]))
            case Fact(name, text) if aligned:
                lines.append(f"{shown(name):<{width}}{_GAP}{text}")
            case Fact(name, text):
                lines.append(f"{name}: {text}")
            case _:
                lines.append(str(item))
    return _spaced_once(lines) if aligned else lines


def _ruled(rows: Sequence[Sequence[str]]) -> list[str]:
    heading, *others = rows
    columns = list(zip(*others, strict=True)) or [() for _ in heading]
    numbers = [number > 0 and all(map(_NUMBER.fullmatch, cells))
               for number, cells in enumerate(columns)]  # fmt: skip
    lines = _columns(rows, numbers)
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def _columns(rows: Sequence[Sequence[str]], flush_right: Sequence[bool]) -> list[str]:
    """Rows of cells as lines, each column as wide as its widest cell."""
    cells = [[shown(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        _GAP.join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, flush_right, strict=True)
        ).rstrip()
        for row in cells
    ]


def _spaced_once(lines: Sequence[str]) -> list[str]:
    """The lines, without empty lines at either end and without repeated empty lines."""
    runs = [list(run) for _, run in groupby(lines, key=bool)]
    kept = [line for run in runs for line in (run if run[0] else [""])]
    return kept[not (kept and kept[0]) : len(kept) - (bool(kept) and not kept[-1])]
