"""Measures the rows of docs/scoreboard.md that are not measured yet, and writes the page.

Finished rows are kept in a file in the user's cache folder: a run that is cut short goes on where
it stopped. A row whose settings change is another row.
"""

import fnmatch
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from tqdm import tqdm

from benchmarks.scoreboard import (
    likelihood,
    one_class,
    out_of_distribution,
    primary,
    validity,
)
from benchmarks.scoreboard.data import Data
from benchmarks.scoreboard.rows import ResultFile, Row

_TASKS: tuple[Callable[[Data], Iterator[Row]], ...] = (
    primary.rows,
    one_class.rows,
    out_of_distribution.rows,
    likelihood.rows,
    validity.rows,
)
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "latentbeam"


@click.command(help=__doc__)
@click.option(
    "--data",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="The folder of mnist.npz, fashion_mnist.npz and cifar10_jpeg.npz.",
)
@click.option("--only", default="*", help="Rows whose task/name/case match, with * and ?.")
@click.option("--results", type=click.Path(path_type=Path), default=_CACHE / "scoreboard.jsonl")
@click.option("--list", "listed", is_flag=True, help="Say which rows are missing; measure none.")
def main(folder: Path, only: str, results: Path, listed: bool) -> None:
    """The command line of the scoreboard."""
    file = ResultFile(results)
    finished = {result.key for result in file}
    data = Data(folder)
    missing = [
        row
        for task in _TASKS
        for row in task(data)
        if row.key not in finished and fnmatch.fnmatch(f"{row.task}/{row.name}/{row.case}", only)
    ]
    for row in tqdm(missing, unit=" rows", disable=listed):
        label = f"{row.task}/{row.name}/{row.case}, seed {row.seed}"
        if listed:
            click.echo(label)
            continue
        result = file.measure(row)
        tqdm.write(f"{label}: {result.figures}, {result.seconds:.0f} s")


if __name__ == "__main__":
    main()
