"""The page of the suite."""

import datetime
import os
import platform
from collections.abc import Sequence

from benchmarks.speed.contests import Outcome

_HEAD = """# Performance

Written by `make bench`, {date}, on {cpus} CPUs ({machine}). A ratio is how many times as many
images a second the first takes as the second: the median of {rounds} rounds, in each of which both
ran in turn, each in a fresh process, on two sizes, so that start-up cancels. Both were checked to
have scored alike.
"""


def page(outcomes: Sequence[Outcome]) -> str:
    """Markdown: a line a contest."""
    head = _HEAD.format(
        date=datetime.datetime.now(datetime.UTC).date(),
        cpus=os.cpu_count(),
        machine=platform.machine(),
        rounds=max(len(outcome.ratios) for outcome in outcomes),
    )
    names = ["row", "ratio", "least, most", "asked", "µs an image", "beside", "peak MiB", "beside"]
    lines = [head, _line(names), _line(["---"] * len(names))]
    return "\n".join([*lines, *(_line(_cells(outcome)) for outcome in outcomes)]) + "\n"


def _cells(outcome: Outcome) -> list[object]:
    micro, peaks = outcome.microseconds, outcome.peak_mebibytes
    return [
        outcome.contest.name,
        f"{outcome.ratio:.2f}",
        f"{min(outcome.ratios):.2f}, {max(outcome.ratios):.2f}",
        f"{outcome.contest.at_least:g}",
        f"{micro['ours']:.1f}",
        f"{micro['other']:.1f}",
        " → ".join(f"{peak:.0f}" for peak in peaks["ours"]),
        " → ".join(f"{peak:.0f}" for peak in peaks["other"]),
    ]


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
