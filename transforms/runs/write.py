"""Writing scored records to a run folder."""

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.options.pipeline_options import TestOptions
from apache_beam.pvalue import PCollection

from ae_models.errors import ConfigError
from transforms.execution.composite import PartlyKnown
from transforms.runs.finish import count_records, finish_run
from transforms.runs.gather import (
    Gathered,
    gathered,
    kinds_of,
    passed_over_shards,
    portable_scores,
    separated,
    watched,
)
from transforms.runs.output_folder import check_free
from transforms.runs.reject_limit import RejectLimit
from transforms.runs.reject_watch import RejectWatch
from transforms.runs.shards import ShardLimits
from transforms.scoring.score import ScoredRecords
from transforms.storage.staging import staging_folder


class _Finish(beam.DoFn):
    def __init__(
        self,
        output: str,
        *,
        run_id: str,
        overwrite: bool,
        started: float,
        facts: dict[str, Any],
        rejects_known: bool,
        kinds: Sequence[str],
        watch: RejectWatch | None,
    ):
        self._output, self._run_id, self._overwrite = output, run_id, overwrite
        self._started = started
        self._facts, self._rejects_known, self._watch = facts, rejects_known, watch
        self._kinds = tuple(kinds)

    def process(self, parts: Gathered) -> Iterable[dict[str, Any]]:
        shards, tallies = separated(parts)
        counts = count_records(shards, tallies, self._rejects_known, self._kinds)
        if self._watch is not None:
            self._watch.check(counts["records"], shards)
        staging = staging_folder(self._output, self._run_id)
        shards += passed_over_shards(staging, tallies.passed_over)
        seconds = round(time.time() - self._started, 1)
        facts = {**counts, **self._facts, "seconds": seconds}
        yield finish_run(
            self._output,
            self._run_id,
            shards=shards,
            facts=facts,
            overwrite=self._overwrite,
            kinds=self._kinds,
        )


class WriteScores(PartlyKnown):
    """Writes Parquet files to `scores`, `rejects` and `passed_over`, and where available to
    `regions`, `maps` and `tiles`, then `run.json` and, last, `_SUCCESS`.

    Args:
      output: the run folder; its contents do not change until the run has succeeded.
      overwrite: whether to replace existing results.
      facts: contents of `run.json` besides the counts: model, options, versions.
      portable_schema: plain list<float> latents, double scores, string models.
      limits: the limits of row groups and files.
      fail_if_empty: whether a run that scores no record fails, with EmptyRunError.
      max_rejects: the maximum rejects of a run, as parsed by `RejectLimit.parse`: a count, or a
        share of the records. A run with more fails, as soon as one worker has seen too many (a
        share is checked from 1,000 records on), or at the end, before anything is moved into place.
        `failed.json` in `output` then has the counts, with examples.

    Input: `ScoredRecords`, or a PCollection of scores alone, in which case `run.json` has no counts
    of read and rejected records. It must be bounded, and in the global window.

    Returns:
      A PCollection of one element: the ledger.

    Raises:
      OutputError: the folder contains results, and `overwrite` is not set.
      ConfigError: `max_rejects` is not a valid limit, or the input has no rejects; the input is
        unbounded, or not in the global window.
      TooManyRejectsError: at run time, more records were rejected than `max_rejects` allows.
      EmptyRunError: at run time, no record was scored, and `fail_if_empty` is set.
    """

    def __init__(
        self,
        output: str,
        *,
        overwrite: bool = False,
        facts: Mapping[str, Any] | None = None,
        portable_schema: bool = False,
        limits: ShardLimits | None = None,
        max_rejects: str | int | float | RejectLimit | None = None,
        fail_if_empty: bool = False,
    ):
        super().__init__()
        self._max_rejects = None if max_rejects is None else RejectLimit.parse(max_rejects)
        self._fail_if_empty = fail_if_empty
        self._output, self._overwrite = str(output).rstrip("/"), overwrite
        self._facts, self._portable, self._limits = dict(facts or {}), portable_schema, limits

    def expand(
        self, scored: ScoredRecords | PCollection[pa.RecordBatch]
    ) -> PCollection[dict[str, Any]]:
        run_id = uuid.uuid4().hex
        if not isinstance(scored, ScoredRecords):
            scored = ScoredRecords(scored, None, None)
        if not scored.scores.pipeline.options.view_as(
            TestOptions
        ).dry_run:  # a dry run touches no output
            check_free(self._output, self._overwrite)
        if self._portable:
            scored = portable_scores(scored)
        staging = staging_folder(self._output, run_id)
        watch = self._watch(scored)
        finish = _Finish(
            self._output,
            run_id=run_id,
            overwrite=self._overwrite,
            started=time.time(),
            facts=self._facts,
            rejects_known=scored.rejects is not None,
            kinds=kinds_of(scored),
            watch=watch,
        )
        return gathered(scored, staging, self._limits) | "Finish" >> beam.ParDo(finish)

    def _watch(self, scored: ScoredRecords) -> RejectWatch | None:
        """The watch of a run with a limit, to which both scores and rejects are passed."""
        limit = self._max_rejects
        if limit is None:
            if not self._fail_if_empty:
                return None
            limit = RejectLimit.parse("100%")
        elif scored.rejects is None:
            raise ConfigError(
                "max_rejects needs the rejects, but scores alone are written: write ScoredRecords"
            )
        watch = RejectWatch(limit, self._output, self._facts, self._fail_if_empty)
        if self._max_rejects is not None:
            watched(scored, watch)
        return watch
