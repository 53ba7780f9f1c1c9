"""Writing a part of a run, which is kept once it is done."""

import time
from collections.abc import Iterable

import apache_beam as beam
from apache_beam.pvalue import PCollection

from transforms.execution.composite import PartlyKnown
from transforms.parts.checkpoints import PartResult, commit, part_folder
from transforms.parts.partition import Part
from transforms.records.passed_over import PassedOver
from transforms.records.tallies import tally
from transforms.runs.gather import Gathered, gathered, portable_scores, separated, watched
from transforms.runs.reject_watch import RejectWatch
from transforms.runs.shards import ShardLimits
from transforms.scoring.score import ScoredRecords


class _Commit(beam.DoFn):
    def __init__(
        self,
        output: str,
        run_id: str,
        *,
        number: int,
        digest: str,
        passed_over: PassedOver,
        started: float,
    ):
        self._output, self._run_id, self._number, self._digest = output, run_id, number, digest
        self._passed_over, self._started = passed_over, started

    def process(self, parts: Gathered) -> Iterable[PartResult]:
        shards, tallies = separated([*parts, tally(passed_over=self._passed_over)])
        seconds = round(time.time() - self._started, 3)
        result = PartResult(self._digest, shards, tallies, seconds)
        commit(self._output, self._run_id, self._number, result)
        yield result


class WritePart(PartlyKnown):
    """Writes a part of a planned run to its staging folder, then commits it.

    Args:
      output: the run folder.
      run_id: the run id of the plan.
      part: the part that is written; its tasks are not retained.
      portable_schema: plain list<float> latents, double scores, string models.
      limits: the limits of row groups and files.
      watch: ends the part if it alone has too many rejects.

    Input: `ScoredRecords`.

    Returns:
      A PCollection of one element: the `PartResult`.
    """

    def __init__(
        self,
        output: str,
        run_id: str,
        *,
        part: Part,
        portable_schema: bool = False,
        limits: ShardLimits | None = None,
        watch: RejectWatch | None = None,
    ):
        super().__init__()
        self._watch = watch
        self._commit = _Commit(
            output,
            run_id,
            number=part.number,
            digest=part.digest,
            passed_over=part.passed_over,
            started=time.time(),
        )
        self._folder = part_folder(output, run_id, part.number)
        self._portable, self._limits = portable_schema, limits

    def expand(self, scored: ScoredRecords) -> PCollection[PartResult]:
        if self._portable:
            scored = portable_scores(scored)
        if self._watch is not None:
            watched(scored, self._watch)
        written = gathered(scored, self._folder, self._limits)
        return written | "Commit" >> beam.ParDo(self._commit)
