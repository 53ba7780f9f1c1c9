"""Measures speed and memory beside what a good user would write, and writes docs/performance.md.

Every program runs in a fresh process, in turn with the one beside it, and both are checked to have
scored alike. Inputs and bundles are made once and kept in the user's cache folder.

Example: python -m benchmarks.performance --only "array*" --rounds 3
"""

import fnmatch
import json
import tempfile
from pathlib import Path

import click
from tqdm import tqdm

from benchmarks.scoreboard.data import CACHE
from benchmarks.speed.bundles import make_bundle
from benchmarks.speed.contests import hold
from benchmarks.speed.page import page
from benchmarks.speed.rows import CONTESTS

_FOLDER = CACHE / "performance"


@click.command(help=__doc__)
@click.option("--only", default="*", help="Rows whose name matches, with * and ?.")
@click.option("--rounds", type=click.IntRange(1), default=5, help="Of each row: its median counts.")
@click.option("--page", "markdown", type=click.Path(path_type=Path), help="Write the page here.")
@click.option("--json", "raw", type=click.Path(path_type=Path), help="Write the figures here.")
def main(only: str, rounds: int, markdown: Path | None, raw: Path | None) -> None:
    """The command line of the suite."""
    contests = [contest for contest in CONTESTS if fnmatch.fnmatch(contest.name, only)]
    if not contests:
        raise click.UsageError(f"no row matches {only!r}: {', '.join(c.name for c in CONTESTS)}")
    _FOLDER.mkdir(parents=True, exist_ok=True)
    outcomes = []
    with tqdm(total=4 * rounds * len(contests), unit=" runs") as bar:
        for contest in contests:
            bundle = make_bundle(contest.bundle, _FOLDER)
            with tempfile.TemporaryDirectory(dir=_FOLDER) as folder:
                outcome = hold(contest, bundle, Path(folder), rounds, lambda: bar.update(1))
            outcomes.append(outcome)
            verdict = "reached" if outcome.ratio >= contest.at_least else "NOT REACHED"
            tqdm.write(f"{contest.name}: {outcome.ratio:.2f}, {contest.at_least:g}: {verdict}")
    if raw:
        raw.write_text(json.dumps([outcome.described() for outcome in outcomes], indent=2))
    if markdown:
        markdown.write_text(page(outcomes))


if __name__ == "__main__":
    main()
