"""Checks the input of transforms that compute one result from all records."""

from typing import Any

from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindows

from ae_models.errors import ConfigError


def check_start(start: Any, name: str) -> None:
    """Raises ConfigError if a reader is applied to a PCollection: readers begin a pipeline."""
    if isinstance(start, PCollection):
        raise ConfigError(
            f"{name} must begin a pipeline: apply it to the pipeline itself. Received: {start}"
        )


def check_whole(records: PCollection[Any], name: str) -> None:
    """Raises ConfigError for records that are unbounded or in windows: `name` computes one result
    from all of them, which there would be never, or many times."""
    if not records.is_bounded:
        raise ConfigError(
            f"{name} computes one result from all records, so its input must be bounded. Received: "
            f"{records}, which is unbounded"
        )
    windows = records.windowing.windowfn
    if windows != GlobalWindows():
        raise ConfigError(
            f"{name} computes one result from all records, so they must be in the global window: "
            f"put beam.WindowInto(beam.window.GlobalWindows()) before it. Received: {records} in "
            f"{type(windows).__name__}"
        )
