"""What transforms that make one result of all records ask of their input."""

from typing import Any

from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindows

from ae_models.errors import ConfigError


def check_start(start: Any, name: str) -> None:
    """Raises ConfigError for what is read behind a PCollection: readers begin a pipeline."""
    if isinstance(start, PCollection):
        raise ConfigError(
            f"{name} begins a pipeline: give it the pipeline itself. Received: {start}"
        )


def check_whole(records: PCollection[Any], name: str) -> None:
    """Raises ConfigError for records that never end, or that lie in windows: `name` gives one
    result of all of them, which there would be never, or many times."""
    if not records.is_bounded:
        raise ConfigError(
            f"{name} makes one result of all records, and so takes bounded input alone. Received: "
            f"{records}, which is unbounded"
        )
    windows = records.windowing.windowfn
    if windows != GlobalWindows():
        raise ConfigError(
            f"{name} makes one result of all records, and so takes them in the global window: put "
            f"beam.WindowInto(beam.window.GlobalWindows()) before it. Received: {records} in "
            f"{type(windows).__name__}"
        )
