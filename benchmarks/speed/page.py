"""The table of the suite, inside a page that people write."""

import datetime
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from benchmarks.speed.outcome import Outcome

_BEGIN, _END = "<!-- measured by make bench -->", "<!-- end of what was measured -->"


def write_table(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Puts the table in place of the one between the two marks.

    Raises:
      ValueError: the page has no such marks.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{path} has no {_BEGIN} … {_END}")
    path.write_text(f"{before}{begin}\n{table(outcomes)}{end}{after}", encoding="utf-8")


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown: when and where, and a line a measure."""
    rounds = max(len(outcome.values) for outcome in outcomes)
    where = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    date = datetime.datetime.now(datetime.UTC).date()
    names = ["measure", "median", "least, most", "asked", "reached", "ours", "beside"]
    lines = [_line(names), _line(["---"] * len(names)), *(_line(_cells(o)) for o in outcomes)]
    return f"{date}, {where}; {rounds} rounds.\n\n" + "\n".join(lines) + "\n"


def _cells(outcome: Outcome) -> list[str]:
    sign = "≤" if outcome.at_most else "≥"
    return [
        outcome.name,
        f"**{outcome.figure:.2f}** {outcome.unit}",
        f"{min(outcome.values):.2f}, {max(outcome.values):.2f}",
        f"{sign} {outcome.asked:g} {outcome.unit}",
        "yes" if outcome.reached else "**no**",
        outcome.ours or " ",
        outcome.beside or " ",
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
