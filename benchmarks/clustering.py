"""Measures time and peak memory of `latentbeam cluster` on many latents, for each method."""

import tempfile
from pathlib import Path

import click

from ae_models.latents.clustering import CLUSTERINGS
from benchmarks.page import markdown, put, when_and_where
from benchmarks.speed.clusters import CLUSTERS, LATENT_DIM, make_run
from benchmarks.speed.programs import run_program
from transforms.runs.ledger import read_ledger


@click.command(help=__doc__)
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=1000))
@click.option("--method", "methods", multiple=True, type=click.Choice(sorted(CLUSTERINGS)))
@click.option(
    "--page", type=click.Path(path_type=Path, exists=True), help="Put the table into this page."
)
def main(rows: int, methods: tuple[str, ...], page: Path | None) -> None:
    """The command line of the benchmark."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        run, output = Path(folder) / "run", Path(folder) / "clusters"
        make_run(run, rows)
        for method in methods or tuple(CLUSTERINGS):
            measured = run_program("clusters", method, [run, "-", output])
            ledger = read_ledger(str(output))
            accuracy = f"{ledger['agreement']['accuracy']:.3f}"
            cells = [method, ledger["records"], ledger["clusters"], accuracy]
            found.append([*cells, round(measured.seconds), f"{measured.peak_mebibytes:,.0f} MiB"])
            click.echo(f"{found[-1]}")
    names = ["method", "records", "clusters", "accuracy", "seconds", "peak memory"]
    table = markdown(names, found)
    about = f"{when_and_where()}. Latents of {LATENT_DIM} dimensions around {CLUSTERS} centres."
    if page is not None:
        put(page, "bench-clusters", f"{about}\n\n{table}")


if __name__ == "__main__":
    main()
