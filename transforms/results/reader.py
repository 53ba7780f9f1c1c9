"""The scored rows of a finished run: in batches, by a pipeline, or as a seeded sample."""

import dataclasses
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.pvalue import PCollection
from apache_beam.typehints import with_output_types

from ae_models.config.validated import check_range
from ae_models.errors import InputError
from ae_models.training.splits import id_hashes
from transforms.records.batches import ID
from transforms.results.read_shards import shard_batches
from transforms.runs.ledger import SCORES, read_ledger, result_files
from transforms.runs.shards import open_shard, read_errors

ROWS_READ = "rows_read"  # a metric
LATENT_MEAN, LATENT_STDDEV = "latent_mean", "latent_stddev"


@dataclasses.dataclass(frozen=True)
class RowGroup:
    """A row group of a file of scores, read by one worker."""

    path: str
    index: int


def scored_count(scores: str) -> int:
    """The number of records that a finished run scored, according to its ledger.

    Raises:
      InputError: there is no finished run, or it scored no record.
    """
    files = [f for f in read_ledger(scores)["files"] if f["path"].partition("/")[0] == SCORES]
    if not (rows := sum(file["rows"] for file in files)):
        raise InputError(f"{scores} contains no scored record")
    return rows


def scored_schema(scores: str) -> pa.Schema:
    """The schema of a finished run's scores.

    Raises:
      InputError: there is no finished run, or it scored no record.
    """
    scored_count(scores)
    with open_shard(result_files(scores, SCORES)[0]) as parquet:
        return parquet.schema_arrow


def latent_columns(scores: str) -> list[str]:
    """`latent_mean` and, if present, `latent_stddev`.

    Raises:
      InputError: there is no finished run, or it has no latents.
    """
    names = scored_schema(scores).names
    if LATENT_MEAN not in names:
        raise InputError(
            f"{scores} has no column {LATENT_MEAN}: score again with it in --outputs, or without "
            "--outputs"
        )
    return [LATENT_MEAN, LATENT_STDDEV] if LATENT_STDDEV in names else [LATENT_MEAN]


def row_groups(folder: str, kind: str = SCORES) -> Iterator[RowGroup]:
    """Yields the row groups of a finished run's scores, or of another kind of its results, in the
    order of its files.

    Raises:
      InputError: there is no finished run, or a file cannot be read.
    """
    for path in result_files(folder, kind):
        with open_shard(path) as parquet:
            yield from (RowGroup(path, index) for index in range(parquet.num_row_groups))


def read_row_group(group: RowGroup, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yields the columns of a row group, in batches of at most 8,192 rows.

    Raises:
      InputError: the file cannot be read.
    """
    yield from shard_batches(group.path, columns, group=group.index)


def vectors(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A column of N lists of equal length, whether of a fixed-size type or not, as (N, d) float32.

    Raises:
      InputError: a list is null, or its length differs from that of the others.
    """
    flat = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    values = flat.flatten().to_numpy(zero_copy_only=False)
    if pa.types.is_fixed_size_list(flat.type):
        lengths = np.array([flat.type.list_size])
    else:
        lengths = np.unique(np.diff(flat.offsets.to_numpy())) if len(flat) else np.array([0])
    if flat.null_count or len(lengths) != 1:
        raise InputError("a record's latent is missing, or its length differs from the others'")
    return values.astype(np.float32, copy=False).reshape(len(flat), int(lengths[0]))


def sample_rows(
    scores: str,
    columns: Sequence[str],
    *,
    count: int,
    seed: int,
    show: Callable[[int], None] = lambda _: None,
) -> pa.Table:
    """A uniform sample of a finished run's rows, without replacement: those with the smallest
    hashes of seed and id, ordered by hash. The sample does not depend on how rows are split into
    files.

    Memory is that of twice `count` rows and a batch.

    Args:
      scores: the run folder.
      columns: the columns to read besides `id`.
      count: the number of rows; all rows if the run has fewer.
      seed: the random seed.
      show: called with the number of rows read so far.

    Returns:
      `id` and the columns.

    Raises:
      InputError: there is no finished run, it has no scored records, or a file cannot be read.
      ConfigError: `count` is less than 1.
    """
    check_range(1, count=count)
    scored_count(scores)
    names = [ID, *(name for name in columns if name != ID)]
    kept: list[tuple[np.ndarray, pa.Table]] = []
    held, least, done = 0, 2**64, 0
    for group in row_groups(scores):
        for batch in read_row_group(group, names):
            hashes = id_hashes(f"{seed}/{record}" for record in batch.column(ID).to_pylist())
            chosen = np.flatnonzero(hashes < least) if least < 2**64 else np.arange(len(batch))
            kept.append((hashes[chosen], pa.table(batch.take(pa.array(chosen)))))
            held, done = held + len(chosen), done + len(batch)
            if held > 2 * count:
                kept = [_least(kept, count, scores)]
                held, least = count, int(kept[0][0][-1])
            show(done)
    return _least(kept, count, scores)[1]


def _least(
    kept: list[tuple[np.ndarray, pa.Table]], count: int, scores: str
) -> tuple[np.ndarray, pa.Table]:
    """The rows with the `count` smallest hashes, ordered by hash."""
    hashes = np.concatenate([part for part, _ in kept])
    order = np.argsort(hashes, kind="stable")[:count]
    # Dictionaries may differ between files.
    with read_errors(scores):
        table = pa.concat_tables([part for _, part in kept]).unify_dictionaries()
    return hashes[order], table.take(pa.array(order)).combine_chunks()


@with_output_types(pa.RecordBatch)
class _Read(beam.DoFn):
    def __init__(self, columns: Sequence[str]):
        self._columns = list(columns)
        self._rows = Metrics.counter("latentbeam", ROWS_READ)

    def process(self, group: RowGroup) -> Iterable[pa.RecordBatch]:
        for batch in read_row_group(group, self._columns):
            self._rows.inc(len(batch))
            yield batch


class ReadScores(beam.PTransform):
    """Reads columns of a finished run's scores; row groups are distributed among workers.

    Args:
      scores: the run folder.
      columns: the columns to read.

    Returns:
      A PCollection of `pa.RecordBatch` of at most 8,192 rows.

    Raises:
      InputError: there is no finished run, or it has no such column or no scored records.
    """

    def __init__(self, scores: str, columns: Sequence[str]):
        super().__init__()
        self._scores, self._columns = scores, list(columns)

    def expand(self, pipeline: beam.Pipeline) -> PCollection[pa.RecordBatch]:
        names = scored_schema(self._scores).names
        for name in self._columns:
            if name not in names:
                raise InputError(f"{posixpath.join(self._scores, SCORES)} has no column {name!r}")
        return (
            pipeline
            | "RowGroups" >> beam.Create(list(row_groups(self._scores)), reshuffle=False)
            | "ShuffleRowGroups" >> beam.Reshuffle()
            | "ReadRows" >> beam.ParDo(_Read(self._columns))
        )
