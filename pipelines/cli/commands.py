"""The command `latentbeam`, with its commands in the order of its help."""

import click

from pipelines.cli.command import Group
from pipelines.cli.completion import completion
from pipelines.cli.configuration import config
from pipelines.cli.explore import explore
from pipelines.cli.model_commands import demo, inspect, score, train
from pipelines.cli.run_commands import classify, cluster, evaluate, relabel, report, verify


def _normalised(token: str) -> str:
    """The form in which click compares names of flags (without their dashes) and choices."""
    return token.replace("-", "_")


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": _normalised},
    example="latentbeam train --input good_images/ --model ae --output bundle/\n"
    "latentbeam score --input new_images/ --model bundle/ --output run/\n"
    "latentbeam report --scores run/ --model bundle/ --output report.html",
)
@click.version_option(package_name="latentbeam")
def cli() -> None:
    """Detects anomalous images in large collections.

    Trains auto-encoders on normal images and applies them in an Apache Beam pipeline, which writes
    latents, anomaly scores and p-values to Parquet.

    Options may be written with hyphens: --max-rejects is --max_rejects.
    """


cli.add_section("Train and score", [train, score, demo])
cli.add_section("Work with a run", [evaluate, relabel, verify, cluster, classify])
cli.add_section("Look at results and models", [report, explore, inspect])
cli.add_section("Set up", [config, completion])
