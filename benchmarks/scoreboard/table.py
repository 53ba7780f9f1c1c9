"""The page of the scoreboard, from finished rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from benchmarks.page import markdown
from benchmarks.scoreboard.rows import Result

_HEAD = """# Scoreboard

This page is written by `python -m benchmarks.quality --data FOLDER`, which measured every figure;
none is copied. A row's figure is the mean over its cases (classes); with several seeds, the mean
and standard deviation of those means. Controls, which train no network, are listed above the
models. Seconds are for one seed and all of its cases, measured while other work was running.
Negative results are kept.
"""


def scoreboard(results: Iterable[Result], notes: dict[str, str]) -> str:
    """Markdown: a table for each task, with its note above.

    Args:
      results: of the scoreboard's rows, in their order.
      notes: of each task, by its name.
    """
    rows = list(results)
    parts = [_HEAD, _made_with(rows)]
    for task in dict.fromkeys(row.task for row in rows):
        parts += [f"## {task}\n", notes[task], *_tables([row for row in rows if row.task == task])]
    return "\n".join(parts)


def _made_with(rows: Sequence[Result]) -> str:
    dates = sorted({row.date for row in rows})
    packages = {f"{name} {version}" for row in rows for name, version in row.versions.items()}
    span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    return f"{span}; {', '.join(sorted(packages))}.\n"


def _tables(rows: Sequence[Result]) -> Iterator[str]:
    """The figures that every row has, the first of them by case, and those that only some have."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for row in rows:
        groups.setdefault((row.name, row.settings), []).append(row)
    figures = list(dict.fromkeys(name for row in rows for name in row.figures))
    common = [name for name in figures if all(name in row.figures for row in rows)]
    yield _table(groups, common, with_settings=True)
    if common and any(row.case != own[0].case for own in groups.values() for row in own):
        yield _by_case(groups, common[0])
    if further := [name for name in figures if name not in common]:
        some = {key: own for key, own in groups.items() if set(further) & set(own[0].figures)}
        yield _table(some, further, with_settings=False)


def _table(
    groups: Mapping[tuple[str, str], list[Result]], figures: Sequence[str], with_settings: bool
) -> str:
    """One line per name and settings, one column per figure."""
    about = ["cases", "seeds", "seconds", "settings"] if with_settings else []
    lines = []
    for (name, settings), own in groups.items():
        seeds = sorted({row.seed for row in own})
        cells: list[object] = [name, *(_figure(own, seeds, figure) for figure in figures)]
        if with_settings:
            seconds = sum(row.seconds for row in own) / len(seeds)
            cases = ", ".join(dict.fromkeys(row.case for row in own))
            cells += [cases, len(seeds), f"{seconds:.0f}", settings]
        lines.append(cells)
    return markdown(["row", *figures, *about], lines)


def _by_case(groups: Mapping[tuple[str, str], list[Result]], figure: str) -> str:
    """One figure: one line per name and settings, one column per case."""
    cases = list(dict.fromkeys(row.case for own in groups.values() for row in own))
    lines = []
    for (name, _), own in groups.items():
        by_case = {case: [row for row in own if row.case == case] for case in cases}
        seeds = sorted({row.seed for row in own})
        lines.append([name, *(_figure(by_case[case], seeds, figure) for case in cases)])
    return markdown([f"{figure} by case", *cases], lines)


def _figure(rows: Sequence[Result], seeds: Sequence[int], figure: str) -> str:
    """The mean over cases, and its standard deviation over seeds."""
    means = [
        np.mean([row.figures[figure] for row in rows if row.seed == seed and figure in row.figures])
        for seed in seeds
        if any(row.seed == seed and figure in row.figures for row in rows)
    ]
    if not means:
        return ""
    spread = f" ± {np.std(means, ddof=1):.2g}" if len(means) > 1 else ""
    return f"{np.mean(means):.4g}{spread}"
