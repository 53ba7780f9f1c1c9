"""Folders of results that a fitted model derives from a finished run's rows: rows written by a
pipeline, the model beside them, and a ledger like a run's."""

import dataclasses
import os
import posixpath
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, BinaryIO, Self

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from ae_models.errors import InputError, OutputError
from transforms.execution.composite import Composite
from transforms.results.reader import scored_count
from transforms.runs.finish import finish_run
from transforms.runs.ledger import MODEL, read_ledger
from transforms.runs.output_folder import check_free, check_not_within
from transforms.runs.shards import Shard, WriteShards
from transforms.storage.changes import create
from transforms.storage.staging import output_errors, staging_folder

Summary = Callable[[Sequence[Any]], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class SourceRun:
    """The finished run from which rows are read.

    Args:
      path: the run folder.
      run_id: the id of the run found there.
      model: the fingerprint of its bundle; None if the run does not state it.
    """

    path: str
    run_id: str
    model: str | None

    @classmethod
    def read(cls, path: str) -> Self:
        """The run that is at `path` now.

        Raises:
          InputError: there is no finished run.
        """
        ledger = read_ledger(path)
        return cls(path, ledger["run_id"], ledger.get("model", {}).get("fingerprint"))

    def check_unchanged(self, rows: int) -> None:
        """Raises InputError unless the same run is still there, with `rows` scored records."""
        if type(self).read(self.path) != self or scored_count(self.path) != rows:
            raise InputError(f"{self.path} was rewritten while it was being read: try again")


@dataclasses.dataclass(frozen=True)
class DerivedFolder:
    """A folder being created. Its model is staged first, so that workers can read it.

    Args:
      output: the folder.
      kind: the kind of its rows, which is the name of their subfolder.
      overwrite: whether to replace the contents of `output`, once the work has succeeded.
      run_id: the id of the work.
      started: the start time, in seconds since the epoch.
    """

    output: str
    kind: str
    overwrite: bool = False
    run_id: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)
    started: float = dataclasses.field(default_factory=time.time)

    def check_free(self, scores: str) -> None:
        """Raises OutputError if `output` contains results and `overwrite` is not set, or if it is
        the run `scores`, inside it or around it."""
        if os.path.realpath(scores) == os.path.realpath(self.output):
            raise OutputError(f"{self.output} is the run itself: choose another folder")
        check_not_within(self.output, scores)
        check_not_within(scores, self.output)
        check_free(self.output, self.overwrite)

    @property
    def staging(self) -> str:
        """The folder that contains the files until the work has succeeded."""
        return staging_folder(self.output, self.run_id)

    @property
    def model(self) -> str:
        """The path of the staged model."""
        return posixpath.join(self.staging, MODEL)

    def stage_model(self, write: Callable[[BinaryIO], None]) -> None:
        """Writes the staged model by calling `write` with the open file.

        Raises:
          OutputError: the model cannot be written.
        """
        with output_errors(self.output), create(self.model) as file:
            write(file)

    def finish(self, shards: Iterable[Shard], facts: Mapping[str, Any]) -> dict[str, Any]:
        """Moves the rows, the model and the ledger into place (`finish_run`)."""
        seconds = round(time.time() - self.started, 1)
        return finish_run(
            self.output,
            self.run_id,
            shards=shards,
            facts={**facts, "seconds": seconds},
            overwrite=self.overwrite,
            kinds=(self.kind,),
            model=self.model,
        )


class _Finish(beam.DoFn):
    def __init__(
        self, folder: DerivedFolder, source: SourceRun, facts: dict[str, Any], summary: Summary
    ):
        self._folder, self._source, self._facts, self._summary = folder, source, facts, summary

    def process(self, parts: list[Any]) -> Iterable[dict[str, Any]]:
        shards = [part for part in parts if isinstance(part, Shard)]
        tallies = [part for part in parts if not isinstance(part, Shard)]
        self._source.check_unchanged(sum(shard.rows for shard in shards))
        yield self._folder.finish(shards, {**self._facts, **self._summary(tallies)})


class WriteDerived(Composite):
    """Writes rows, then the ledger and `_SUCCESS`.

    Args:
      folder: the folder to write to.
      source: the run from whose rows the new rows were computed, one from each.
      facts: contents of the ledger besides the files.
      summary: computes further facts from all tallies.

    Input: a PCollection of rows, `pa.RecordBatch`, and one of tallies, small values of any type.

    Returns:
      A PCollection of one element: the ledger.

    Raises:
      InputError: at run time, the source was rewritten while it was being read; no result is
        written.
    """

    def __init__(
        self,
        folder: DerivedFolder,
        source: SourceRun,
        facts: Mapping[str, Any],
        summary: Summary,
    ):
        super().__init__()
        self._folder, self._finish = folder, _Finish(folder, source, dict(facts), summary)

    def expand(
        self, inputs: tuple[PCollection[pa.RecordBatch], PCollection[Any]]
    ) -> PCollection[dict[str, Any]]:
        rows, tallies = inputs
        shards = rows | "WriteRows" >> WriteShards(self._folder.staging, self._folder.kind)
        gathered = (shards, tallies) | beam.Flatten() | "Gather" >> beam.combiners.ToList()
        return gathered | "Finish" >> beam.ParDo(self._finish)
