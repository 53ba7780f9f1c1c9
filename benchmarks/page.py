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
    mark = f"<!-- measured by make {target} -->"
    before, begin, rest = path.read_text(encoding="utf-8").partition(mark)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{path} has no {mark} … {_END}")
    path.write_text(f"{before}{begin}\n{text}{end}{after}", encoding="utf-8")


def markdown(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [names, ["---"] * len(names), *rows]
    return "".join(f"| {' | '.join(map(str, cells))} |\n" for cells in lines)


def when_and_where() -> str:
    """Today's date, and a description of the machine."""
    date = datetime.datetime.now(datetime.UTC).date()
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}"
    return f"{date}, {machine}, Python {platform.python_version()}"
