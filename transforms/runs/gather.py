"""What writing a whole run and writing a part of one have in common."""

import posixpath
from collections.abc import Iterable

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.pvalue import PCollection
from apache_beam.utils.shared import Shared

from transforms.records.passed_over import PassedOver
from transforms.records.tallies import Tallies
from transforms.runs.ledger import PASSED_OVER, REJECTS, SCORES
from transforms.runs.reject_watch import RejectWatch, WatchRejects
from transforms.runs.shards import Shard, ShardLimits, WriteShards
from transforms.scoring.columns import portable
from transforms.scoring.score import ScoredRecords
from transforms.storage.changes import create
from transforms.storage.staging import output_errors

Gathered = list[Shard | pa.RecordBatch]  # all finished files and all tallies


def watched(scored: ScoredRecords, watch: RejectWatch) -> None:
    """Counts scores and rejects while they come: a run with too many rejects ends early, if its
    limit can be told to be passed before its end."""
    if not watch.limit.ends_early:
        return
    seen = Shared()
    scored.scores | "WatchScores" >> beam.ParDo(WatchRejects(watch, SCORES, seen))
    scored.rejects | "WatchRejects" >> beam.ParDo(WatchRejects(watch, REJECTS, seen))


def portable_scores(scores: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
    """Scores in the types that every reader of Parquet knows."""
    return scores | "Portable" >> beam.Map(portable).with_output_types(pa.RecordBatch)


def gathered(
    scored: ScoredRecords, staging: str, limits: ShardLimits | None
) -> PCollection[Gathered]:
    """Writes scores and rejects to files in `staging`; gives one list of them and the tallies."""
    parts = [scored.scores | "WriteScores" >> WriteShards(staging, SCORES, limits)]
    if scored.rejects is not None:
        parts.append(scored.rejects | "WriteRejects" >> WriteShards(staging, REJECTS, limits))
    if scored.tallies is not None:
        parts.append(summed(scored.tallies))
    return parts | "Parts" >> beam.Flatten() | "Gather" >> beam.combiners.ToList()


def summed(tallies: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
    """One batch of the sums, for those of every task may name as much as there are tasks, and more;
    none of no tallies."""
    return tallies | "SumTallies" >> beam.CombineGlobally(_summed).without_defaults()


def _summed(tallies: Iterable[pa.RecordBatch]) -> pa.RecordBatch:
    return Tallies.total(tallies).to_arrow()


def separated(parts: Gathered) -> tuple[list[Shard], Tallies]:
    """The files, and the sums of the tallies."""
    shards = [part for part in parts if isinstance(part, Shard)]
    return shards, Tallies.total(part for part in parts if isinstance(part, pa.RecordBatch))


def passed_over_shards(staging: str, found: PassedOver) -> list[Shard]:
    """Writes what is named of a run to its staging folder: one file, none where that is nothing.

    A run that is finished a second time writes it again.

    Raises:
      OutputError: it cannot be written.
    """
    table = found.to_arrow()
    if not len(table):
        return []
    path = posixpath.join(staging, f"{PASSED_OVER}.parquet")
    with output_errors(staging), create(path, "application/vnd.apache.parquet") as file:
        pq.write_table(table, file)
    return [Shard(PASSED_OVER, path, len(table), "", {})]
