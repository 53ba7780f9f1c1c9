"""Measures missing rows of docs/reference/scoreboard.md, and writes the page.

Finished rows are stored in a file in the user's cache folder, so that an interrupted run continues
where it stopped. A row is identified by the settings that the page shows: after changing a default
or a score's formula, remove the file, and the folder of trained weights beside it.
"""

import fnmatch
from pathlib import Path

import click
from tqdm import tqdm

from benchmarks.scoreboard import (
    class_probabilities,
    clusters,
    denoising,
    likelihood,
    one_class,
    out_of_distribution,
    photograph_features,
    photographs,
    primary,
    validity,
)
from benchmarks.scoreboard.data import CACHE, Data
from benchmarks.scoreboard.rows import ResultFile, Row, finished_repetitions
from benchmarks.scoreboard.table import scoreboard

_TASKS = (
    primary,
    one_class,
    photographs,
    photograph_features,
    out_of_distribution,
    denoising,
    likelihood,
    class_probabilities,
    clusters,
    validity,
)


@click.command(help=__doc__)
@click.option(
    "--data",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="The folder of mnist.npz, fashion_mnist.npz, cifar10_jpeg.npz and photos/.",
)
@click.option("--only", default="*", help="Rows whose task/name/case/seed match, with * and ?.")
@click.option("--results", type=click.Path(path_type=Path), default=CACHE / "scoreboard.jsonl")
@click.option(
    "--page", type=click.Path(path_type=Path), help="Write the page: docs/reference/scoreboard.md."
)
@click.option("--list", "listed", is_flag=True, help="List missing rows without measuring.")
def main(folder: Path, only: str, results: Path, page: Path | None, listed: bool) -> None:
    """The command line of the scoreboard."""
    file, data = ResultFile(results), Data(folder)
    rows = [row for task in _TASKS for row in task.rows(data)]
    if page is None:
        _measure(file, [row for row in rows if fnmatch.fnmatch(_path(row), only)], listed)
        return
    found = finished_repetitions(rows, file)
    if not found:
        raise click.ClickException(
            f"{results} contains no finished row: measure some without --page first"
        )
    notes = {name: note for task in _TASKS for name, note in task.NOTES.items()}
    page.write_text(scoreboard(found, notes))
    click.echo(f"{page}: {len(found)} of {len(rows)} rows are measured")


def _measure(file: ResultFile, rows: list[Row], listed: bool) -> None:
    finished = {result.key for result in file}
    missing = [row for row in rows if row.key not in finished]
    for row in tqdm(missing, unit=" rows", disable=listed):
        if listed:
            click.echo(_path(row))
            continue
        result = file.measure(row)
        tqdm.write(f"{_path(row)}: {result.figures}, {result.seconds:.0f} s")


def _path(row: Row) -> str:
    return f"{row.task}/{row.name}/{row.case}/{row.seed}"


if __name__ == "__main__":
    main()
