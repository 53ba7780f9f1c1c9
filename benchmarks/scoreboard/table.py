"""The page of the scoreboard, from finished rows."""

from collections.abc import Iterable, Sequence

import numpy as np

from benchmarks.scoreboard.rows import Result

_HEAD = """# Scoreboard

Written by `python -m benchmarks.quality --data FOLDER`: every figure was measured by it, none is
copied. A row's figure is the mean over its cases (classes); over several seeds, the mean and
standard deviation of that. Controls, which know no network, stand above the models. Seconds are
those of one seed, all cases together, other work beside it. Negative results stay.
"""


def page(results: Iterable[Result], notes: dict[str, str]) -> str:
    """Markdown: a table for each task, with what was said about it above.

    Args:
      results: of the rows that are on the scoreboard, in their order.
      notes: of each task, by its name.
    """
    rows = list(results)
    parts = [_HEAD, _made_with(rows)]
    for task in dict.fromkeys(row.task for row in rows):
        own = [row for row in rows if row.task == task]
        parts += [f"## {task}", notes[task], _table(own)]
    return "\n".join(parts)


def _made_with(rows: Sequence[Result]) -> str:
    dates = sorted({row.date for row in rows})
    packages = {f"{name} {version}" for row in rows for name, version in row.versions.items()}
    span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    return f"{span}; {', '.join(sorted(packages))}.\n"


def _table(rows: Sequence[Result]) -> str:
    """One line a name and settings, one column a figure that every one of its results has."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for row in rows:
        groups.setdefault((row.name, row.settings), []).append(row)
    figures = list(dict.fromkeys(name for row in rows for name in row.figures))
    lines = [
        _line(["row", *figures, "cases", "seeds", "seconds", "settings"]),
        _line(["---"] * (len(figures) + 5)),
    ]
    for (name, settings), own in groups.items():
        seeds = sorted({row.seed for row in own})
        cells = [_figure(own, seeds, figure) for figure in figures]
        seconds = sum(row.seconds for row in own) / len(seeds)
        cases = ", ".join(dict.fromkeys(row.case for row in own))
        lines.append(_line([name, *cells, cases, len(seeds), f"{seconds:.0f}", settings]))
    return "\n".join(lines) + "\n"


def _figure(rows: Sequence[Result], seeds: Sequence[int], figure: str) -> str:
    """The mean over cases, and over seeds its standard deviation."""
    means = [
        np.mean([row.figures[figure] for row in rows if row.seed == seed and figure in row.figures])
        for seed in seeds
        if any(row.seed == seed and figure in row.figures for row in rows)
    ]
    if not means:
        return ""
    spread = f" ± {np.std(means, ddof=1):.2f}" if len(means) > 1 else ""
    return f"{np.mean(means):.4g}{spread}"


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
