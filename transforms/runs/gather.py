"""What writing an entire run and writing a part have in common."""

import posixpath
from collections.abc import Iterable

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.pvalue import PCollection
from apache_beam.utils.shared import Shared

from transforms.execution.whole_input import check_whole
from transforms.records.batches import PICTURE_COLUMNS
from transforms.records.passed_over import PassedOver
from transforms.records.tallies import Tallies
from transforms.runs.ledger import MAPS, PASSED_OVER, REGIONS, REJECTS, SCORES, TILES
from transforms.runs.pictures import write_pictures
from transforms.runs.reject_watch import RejectWatch, WatchRejects
from transforms.runs.shards import Shard, ShardLimits, WriteShards
from transforms.scoring.columns import portable
from transforms.scoring.options import ScoreOptions
from transforms.scoring.score import ScoredRecords
from transforms.storage.changes import create
from transforms.storage.staging import output_errors

Gathered = list[Shard | pa.RecordBatch]  # all finished files and all tallies


def watched(scored: ScoredRecords, watch: RejectWatch) -> None:
    """Counts scores and rejects as they arrive, so that a run with too many rejects stops early, if
    its limit can be exceeded before the end."""
    if not watch.limit.ends_early:
        return
    seen = Shared()
    scored.scores | "WatchScores" >> beam.ParDo(WatchRejects(watch, SCORES, seen))
    scored.rejects | "WatchRejects" >> beam.ParDo(WatchRejects(watch, REJECTS, seen))


def portable_scores(scored: ScoredRecords) -> ScoredRecords:
    """The same rows with types that every Parquet reader supports."""

    def ported(rows: PCollection[pa.RecordBatch], label: str) -> PCollection[pa.RecordBatch]:
        return rows | label >> beam.Map(portable).with_output_types(pa.RecordBatch)

    located = {
        kind: None if rows is None else ported(rows, f"Portable{kind.capitalize()}")
        for kind, rows in _located(scored).items()
    }
    return scored._replace(scores=ported(scored.scores, "Portable"), **located)


def _located(scored: ScoredRecords) -> dict[str, PCollection[pa.RecordBatch] | None]:
    return {REGIONS: scored.regions, MAPS: scored.maps, TILES: scored.tiles}


def gathered(
    scored: ScoredRecords, staging: str, limits: ShardLimits | None
) -> PCollection[Gathered]:
    """Writes all rows to files in `staging`; returns a single list of the files and the tallies.

    Raises:
      ConfigError: an input is unbounded, or not in the global window.
    """
    for part in scored:
        if part is not None:
            check_whole(part, "WriteScores")
    parts = [scored.scores | "WriteScores" >> WriteShards(staging, SCORES, limits)]
    others = {REJECTS: scored.rejects, **_located(scored)}
    if scored.maps is not None:
        others[MAPS] = scored.maps | "WritePictures" >> beam.Map(_with_files, staging)
    parts += [
        rows | f"Write{kind.capitalize()}" >> WriteShards(staging, kind, limits)
        for kind, rows in others.items()
        if rows is not None
    ]
    if scored.tallies is not None:
        parts.append(summed(scored.tallies))
    return parts | "Parts" >> beam.Flatten() | "Gather" >> beam.combiners.ToList()


def _with_files(rows: pa.RecordBatch, staging: str) -> pa.RecordBatch:
    """Rows of maps, with any pictures written to separate files."""
    types = {field.name: field.type for field in rows.schema}
    has_files = all(types.get(name) == pa.binary() for name in PICTURE_COLUMNS)
    return write_pictures(rows, staging) if has_files else rows


def summed(tallies: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
    """Sums tallies into one batch, as the tallies of all tasks together may be large; no batch if
    there are no tallies."""
    return tallies | "SumTallies" >> beam.CombineGlobally(_summed).without_defaults()


def _summed(tallies: Iterable[pa.RecordBatch]) -> pa.RecordBatch:
    return Tallies.total(tallies).to_arrow()


def kinds_of(located: ScoredRecords | ScoreOptions) -> tuple[str, ...]:
    """The folders of a run's result, for what was scored or what is requested."""
    there = {REGIONS: located.regions, MAPS: located.maps, TILES: located.tiles}
    is_there = [kind for kind, known in there.items() if known is not None and known is not False]
    return (SCORES, REJECTS, PASSED_OVER, *is_there)


def separated(parts: Gathered) -> tuple[list[Shard], Tallies]:
    """The files, and the sum of the tallies."""
    shards = [part for part in parts if isinstance(part, Shard)]
    return shards, Tallies.total(part for part in parts if isinstance(part, pa.RecordBatch))


def passed_over_shards(staging: str, found: PassedOver) -> list[Shard]:
    """Writes the names of what a run passed over to its staging folder: one file, or none if there
    are no names. Finishing a run a second time rewrites the file.

    Raises:
      OutputError: the file cannot be written.
    """
    table = found.to_arrow()
    if not len(table):
        return []
    path = posixpath.join(staging, f"{PASSED_OVER}.parquet")
    with output_errors(staging), create(path, "application/vnd.apache.parquet") as file:
        pq.write_table(table, file)
    return [Shard(PASSED_OVER, path, len(table), "", {})]
