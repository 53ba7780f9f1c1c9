"""Makes runs fail in every known way, and counts what is lost.

Inputs and bundles are made once and stored in the user's cache folder.

Example: python -m benchmarks.reliability --only "*dies*" --trials 3
"""

import fnmatch
import os
import sys
from pathlib import Path

import click
from tqdm import tqdm

from benchmarks.faults.deaths import RunDies, WorkerDies
from benchmarks.faults.disk import DiskFull
from benchmarks.faults.finding import Fault, read_findings, write_findings
from benchmarks.faults.million import ManyBadRecords
from benchmarks.faults.page import table
from benchmarks.faults.trainings import TrainingDies
from benchmarks.page import put
from benchmarks.scoreboard.data import CACHE

_FOLDER = CACHE / "reliability"
FAULTS: tuple[Fault, ...] = (
    RunDies("a run is killed, then resumed", 50, checkpoint_every=4_000),
    WorkerDies("a worker process is killed", 20),
    TrainingDies("a training is killed, then resumed", 20),
    DiskFull("the disk is full in the middle", 5, mebibytes=64),
    ManyBadRecords("1,000,000 records, 1% of them bad", 1, records=1_000_000),
)


@click.command(help=__doc__)
@click.option("--only", default="*", help="Try only faults whose name matches; * and ? allowed.")
@click.option("--trials", type=click.IntRange(1), help="Trials per fault; each has a default.")
@click.option("--page", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Put the table into this page.")  # fmt: skip
@click.option("--json", "raw", type=click.Path(path_type=Path, dir_okay=False),
              default=_FOLDER / "findings.json", show_default=True,
              help="File that stores all findings, including earlier ones.")  # fmt: skip
def main(only: str, trials: int | None, page: Path | None, raw: Path) -> None:
    """The command line of the suite; its exit status is 1 if a trial did not end as expected."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    faults = [fault for fault in FAULTS if fnmatch.fnmatch(fault.name, only)]
    if not faults:
        raise click.UsageError(f"no fault matches {only!r}: {', '.join(f.name for f in FAULTS)}")
    _FOLDER.mkdir(parents=True, exist_ok=True)
    found = read_findings(raw)
    with tqdm(total=sum(trials or fault.trials for fault in faults), unit=" trials") as bar:
        for fault in faults:
            bar.set_description(fault.name)
            finding = fault.try_out(_FOLDER, trials or fault.trials, lambda: bar.update(1))
            found[fault.name] = finding
            write_findings(raw, found)  # after each: the suite takes half an hour
    findings = [found[fault.name] for fault in FAULTS if fault.name in found]
    if page:
        put(page, "faults", table(findings))
    click.echo(table(findings))
    sys.exit(any(found[fault.name].good < found[fault.name].tried for fault in faults))


if __name__ == "__main__":
    main()
