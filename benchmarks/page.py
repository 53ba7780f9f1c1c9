"""Inserts measurements into pages that people write."""

import datetime
import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

_END = "<!-- end of what was measured -->"


def put(path: Path, target: str, text: str) -> None:
    """Replaces the text between the page's marks of `make TARGET` with `text`.

    Raises:
      ValueError: the page has no such marks.
    """
    marks = (f"<!-- measured by make {target} -->", _END)
    page = replaced(path.read_text(encoding="utf-8"), marks, f"\n{text}", path.name)
    path.write_text(page, encoding="utf-8")


def replaced(page: str, marks: tuple[str, str], text: str, name: str) -> str:
    """The page with `text` between its marks, whatever was there.

    Raises:
      ValueError: the page, which the message calls `name`, has no such marks.
    """
    before, begin, rest = page.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"{name} has no {marks[0]} … {marks[1]}")
    return f"{before}{begin}{text}{end}{after}"


def markdown(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [names, ["---"] * len(names), *rows]
    return "".join(f"| {' | '.join(map(str, cells))} |\n" for cells in lines)


def when_and_where() -> str:
    """Today's date, and a description of the machine."""
    date = datetime.datetime.now(datetime.UTC).date()
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}"
    return f"{date}, {machine}, Python {platform.python_version()}"
