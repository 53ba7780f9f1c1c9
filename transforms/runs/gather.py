"""What writing a whole run and writing a part of one have in common."""

from collections.abc import Iterable

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection
from apache_beam.utils.shared import Shared

from transforms.execution.whole_input import check_whole
from transforms.runs.ledger import REJECTS, SCORES
from transforms.runs.reject_watch import RejectWatch, WatchRejects
from transforms.runs.shards import Shard, ShardLimits, WriteShards
from transforms.scoring.columns import portable
from transforms.scoring.score import ScoredRecords

Gathered = list[Shard | pa.RecordBatch]  # all finished files and all tallies


def watched(scored: ScoredRecords, watch: RejectWatch) -> None:
    """Counts scores and rejects while they come: a run with too many rejects ends early."""
    seen = Shared()
    scored.scores | "WatchScores" >> beam.ParDo(WatchRejects(watch, SCORES, seen))
    scored.rejects | "WatchRejects" >> beam.ParDo(WatchRejects(watch, REJECTS, seen))


def portable_scores(scores: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
    """Scores in the types that every reader of Parquet knows."""
    return scores | "Portable" >> beam.Map(portable).with_output_types(pa.RecordBatch)


def gathered(
    scored: ScoredRecords, staging: str, limits: ShardLimits | None
) -> PCollection[Gathered]:
    """Writes scores and rejects to files in `staging`; gives one list of them and the tallies.

    Raises:
      ConfigError: an input is unbounded, or lies in windows.
    """
    for part in scored:
        if part is not None:
            check_whole(part, "WriteScores")
    parts = [scored.scores | "WriteScores" >> WriteShards(staging, SCORES, limits)]
    if scored.rejects is not None:
        parts.append(scored.rejects | "WriteRejects" >> WriteShards(staging, REJECTS, limits))
    if scored.tallies is not None:
        parts.append(scored.tallies)
    return parts | "Parts" >> beam.Flatten() | "Gather" >> beam.combiners.ToList()


def separated(parts: Gathered) -> tuple[list[Shard], dict[str, int]]:
    """The files, and the sums of the tallies."""
    shards = [part for part in parts if isinstance(part, Shard)]
    return shards, _sums(part for part in parts if isinstance(part, pa.RecordBatch))


def _sums(tallies: Iterable[pa.RecordBatch]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for batch in tallies:
        for name, count in zip(*batch.to_pydict().values(), strict=True):
            sums[name] = sums.get(name, 0) + count
    return sums
