"""Measures speed and memory compared with what a good user would write.

Each program runs in a fresh process, alternating with its baseline; both must give the same scores.
Inputs and bundles are made once and stored in the user's cache folder.

Example: python -m benchmarks.performance --only "array*" --rounds 3
"""

import fnmatch
import os
from pathlib import Path

import click
from tqdm import tqdm

from benchmarks.page import put
from benchmarks.scoreboard.data import CACHE
from benchmarks.speed.outcome import read_outcomes, write_outcomes
from benchmarks.speed.page import table
from benchmarks.speed.rows import MEASURES, ON_FLINK

_FOLDER = CACHE / "performance"


@click.command(help=__doc__)
@click.option("--only", default="*", help="Take only measures whose name matches; * and ? allowed.")
@click.option(
    "--flink",
    is_flag=True,
    help="Take the measures on this machine's Flink cluster instead of the others.",
)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True,
              help="Rounds per measure; the median counts.")  # fmt: skip
@click.option("--page", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Put the table into this page.")  # fmt: skip
@click.option("--json", "raw", type=click.Path(path_type=Path, dir_okay=False),
              default=_FOLDER / "figures.json", show_default=True,
              help="File that stores all figures, including earlier ones.")  # fmt: skip
def main(only: str, flink: bool, rounds: int, page: Path | None, raw: Path) -> None:
    """The command line of the suite."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    offered = ON_FLINK if flink else MEASURES
    measures = [measure for measure in offered if fnmatch.fnmatch(measure.name, only)]
    if not measures:
        raise click.UsageError(f"no measure matches {only!r}: {', '.join(m.name for m in offered)}")
    _FOLDER.mkdir(parents=True, exist_ok=True)
    kept = read_outcomes(raw)
    with tqdm(total=sum(measure.runs(rounds) for measure in measures), unit=" runs") as bar:
        for measure in measures:
            bar.set_description(measure.name)
            kept[measure.name] = measure.take(_FOLDER, rounds, lambda: bar.update(1))
            write_outcomes(raw, kept)  # after each: the suite takes an hour
    outcomes = [kept[measure.name] for measure in (*MEASURES, *ON_FLINK) if measure.name in kept]
    if page:
        put(page, "bench", table(outcomes))
    click.echo(table(outcomes))


if __name__ == "__main__":
    main()
