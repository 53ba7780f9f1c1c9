"""Measures the report of 100,000 records: size of the page, seconds until it is drawn, memory.

Chromium and chromedriver must be installed (Debian: chromium, chromium-driver). All inputs are
created in a temporary folder.

Example: python -m benchmarks.report_page --page docs/how-to/report.md
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import load_digits

from benchmarks.browser import Browser, open_browser
from benchmarks.page import markdown, put, when_and_where
from pipelines.commands.score import score
from pipelines.commands.train import train, train_configuration
from tests.support.finished_run import write_result
from transforms.runs.ledger import CLUSTERS

_RECORDS, _SIDE = 100_000, 28
_WIDTH, _HEIGHT = 1280, 900  # pixels of the window
# Milliseconds from the request for the page until every plot is laid out and drawn.
_DRAWN = """
const done = arguments[0]
const look = () => {
    const documents = window.Bokeh?.documents ?? []
    if (documents.length > 0 && documents.every((document) => document.is_idle))
        requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())))
    else setTimeout(look, 10)
}
look()
"""


@click.command(help=__doc__)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--page", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Put the table into this page.")  # fmt: skip
def main(rounds: int, page: Path | None) -> None:
    """The command line."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_run(folder)
        seconds, memory = _report(folder)
        size = (folder / "report.html").stat().st_size
        with open_browser() as browser:
            opened = [seconds_to_open(browser, folder / "report.html") for _ in range(rounds)]
    rows = [
        ("size of the page", f"{size / 1e6:.1f} MB"),
        (f"time to draw it, {_WIDTH} pixels wide", f"{_spread(opened)} s"),
        ("time and peak memory to write it", f"{seconds:.0f} s, {memory:,.0f} MiB"),
    ]
    text = f"{when_and_where()}, headless Chromium; {rounds} rounds.\n\n"
    text += markdown(("100,000 records, 28 × 28, 20 clusters", "measured"), rows)
    if page:
        put(page, "bench-report", text)
    click.echo(text)


def seconds_to_open(
    browser: Browser, path: Path, width: int = _WIDTH, height: int = _HEIGHT
) -> float:
    """Seconds from the request for the page until all of its plots are drawn."""
    browser.open(path, width, height)
    return float(browser.run_async(_DRAWN)) / 1000


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _make_run(folder: Path) -> None:
    """Scores digits, each enlarged, shifted and dimmed at random; training excludes zeros."""
    generator, digits = np.random.default_rng(0), load_digits()
    chosen = generator.integers(len(digits.images), size=_RECORDS)
    large = np.pad(np.kron(digits.images, np.ones((3, 3))), ((0, 0), (2, 2), (2, 2)))
    shifts = generator.integers(-2, 3, (_RECORDS, 2))
    images = np.stack([np.roll(large[n], s, (0, 1)) for n, s in zip(chosen, shifts, strict=True)])
    images *= generator.uniform(8, 16, (_RECORDS, 1, 1))
    arrays = {"x_test": images.astype(np.uint8), "y_test": digits.target[chosen]}
    np.savez(folder / "images.npz", **arrays)
    inputs = [f"{folder}/images.npz#test"]
    overrides = ["model.network=dense", "model.latent_dim=16"]
    config = train_configuration("vae", overrides=overrides, flags={"epochs": 1})
    train(inputs, config, str(folder / "bundle"), where=["label!=0"])
    score(inputs, str(folder / "bundle"), str(folder / "run"))
    rows = pq.read_table(folder / "run" / "scores", columns=["id", "latent_mean"])
    latents = np.stack(rows["latent_mean"].to_numpy())
    distances = MiniBatchKMeans(20, random_state=0, n_init=1).fit_transform(latents)
    clusters = pa.table({
        "id": rows["id"],
        "cluster": distances.argmin(axis=1).astype(np.int32),
        "distance_to_center": distances.min(axis=1).astype(np.float32),
        "probability": np.ones(_RECORDS, np.float32),
        "outlier_score": np.zeros(_RECORDS, np.float32),
    })  # fmt: skip
    write_result(folder / "clusters", {CLUSTERS: [clusters]}, group_rows=16_384)


_PROGRAM = """
import json, sys
from benchmarks.speed.programs import peak_mebibytes
from pipelines.report.command import report
folder = sys.argv[1]
report(f"{folder}/run", f"{folder}/bundle", f"{folder}/report.html", f"{folder}/clusters")
print(json.dumps(peak_mebibytes()))
"""


def _report(folder: Path) -> tuple[float, float]:
    """Seconds and mebibytes of a separate process."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(folder)], stdout=subprocess.PIPE, check=True
    )
    return time.monotonic() - started, json.loads(done.stdout)


if __name__ == "__main__":
    main()
