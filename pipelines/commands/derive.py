"""Deriving new rows from a finished run's rows: the common part of `cluster` and `classify`."""

from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from ae_models.errors import ConfigError
from pipelines.beam.dataflow import check_reachable, is_handed_over
from pipelines.beam.run import described_options, run, versions
from transforms.records.batches import ID
from transforms.results.derived_folder import DerivedFolder, SourceRun, Summary, WriteDerived
from transforms.results.reader import ROWS_READ, ReadScores


def new_folder(
    command: str,
    kind: str,
    *,
    scores: Sequence[str],
    output: str,
    overwrite: bool,
    options: PipelineOptions,
) -> DerivedFolder:
    """The folder that a command will write.

    Args:
      command: its name.
      kind: of the rows.
      scores: the runs that it reads.
      output: the folder.
      overwrite: replace the folder's contents, once the work has succeeded.
      options: of the pipeline.

    Raises:
      ConfigError: the job would be handed over, or cannot reach the paths.
      OutputError: the folder cannot be used.
    """
    if is_handed_over(options):
        raise ConfigError(
            f"{command} needs the result of its pipeline: leave out --dry_run, "
            "--template_location and --no_wait_until_finish"
        )
    check_reachable(options, {"--scores": scores, "--output": [output]})
    folder = DerivedFolder(output.rstrip("/"), kind, overwrite)
    for path in scores:
        folder.check_free(path)
    return folder


def derive(
    folder: DerivedFolder,
    source: SourceRun,
    *,
    columns: Sequence[str],
    assign: beam.PTransform,
    facts: Mapping[str, Any],
    summary: Summary,
    options: PipelineOptions,
    doing: str,
) -> None:
    """Derives rows from a run's rows in a pipeline, and finishes the folder.

    Args:
      folder: the folder to write, with its model already staged.
      source: the run.
      columns: the columns to read besides `id`.
      assign: gives rows and tallies.
      facts: facts for the ledger, besides the options, the versions and the `summary` of the
        tallies.
      summary: computes further facts from all tallies.
      options: of the pipeline.
      doing: description of the work, for people.

    Raises:
      LatentbeamError: as `pipelines.beam.run.run`.
    """
    known = {**facts, "options": described_options(options), "versions": versions()}
    read, write = (
        ReadScores(source.path, [ID, *columns]),
        WriteDerived(folder, source, known, summary),
    )
    run(lambda pipeline: pipeline | read | assign | write, options, doing, counter=ROWS_READ)
