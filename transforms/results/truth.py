"""The ground truth of a finished run's records, from their columns, beside the run's flags."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ae_models.config.validated import suggestion
from ae_models.errors import ConfigError, InputError
from transforms.records.categories import categories_of
from transforms.records.where import Where
from transforms.results.read_shards import check_columns, shard_batches
from transforms.results.summary import FLAG, SCORE
from transforms.runs.ledger import SCORES, result_files
from transforms.runs.shards import open_shard

_MOST_KINDS = 1000
_NORMAL = -1


@dataclasses.dataclass(frozen=True)
class Truth:
    """The truth of N records of a run, in the order of its files.

    Attributes:
      labelled: (N,) bool, whether the truth of a record is known.
      anomalous: (N,) bool, whether a record is anomalous; False if not known.
      flags: (N,) bool, `is_anomaly`.
      kinds: maps each value of a column among the anomalous records, as text or None, to the
        indices of its records, (m,) int64.
    """

    labelled: np.ndarray
    anomalous: np.ndarray
    flags: np.ndarray
    kinds: dict[str | None, np.ndarray]


def read_truth(scores: str, where: Where, by: str | None = None) -> Truth:
    """Reads which records are anomalous, and of which kind. Memory is 7 bytes per record, and 16
    per anomalous record.

    Args:
      scores: the folder of the finished run.
      where: true for the anomalous records; those with no value in its column are unlabelled.
      by: the column with the kinds of anomaly.

    Raises:
      InputError: there is no finished run, it has no scored records, or a file cannot be read.
      ConfigError: there is no such column, it cannot be compared or converted to text, or it has
        more than 1,000 kinds.
    """
    kinds: dict[str | None, int] = {}
    parts = [
        _truth_of(batch, where, by, kinds)
        for path in result_files(scores, SCORES)
        for batch in _checked_batches(path, where, by)
    ]
    if not parts:
        raise InputError(f"{scores} contains no scored record")
    labelled, anomalous, flags, kind = map(np.concatenate, zip(*parts, strict=True))
    order = np.argsort(kind, kind="stable")[np.count_nonzero(kind == _NORMAL) :]
    of_each = np.split(order, np.cumsum(np.bincount(kind[order], minlength=len(kinds)))[:-1])
    names = sorted(kinds, key=lambda name: (name is None, name or ""))
    return Truth(labelled, anomalous, flags, {name: of_each[kinds[name]] for name in names})


def read_numbers(scores: str, column: str, records: int) -> np.ndarray:
    """A column of a finished run's scores, (N,) float32, NaN for missing values.

    Raises:
      InputError: a file cannot be read, or the number of records is not `records`.
    """
    values = np.empty(records, np.float32)
    start = 0
    for path in result_files(scores, SCORES):
        for batch in shard_batches(path, [column]):
            part = batch.column(0).to_numpy(zero_copy_only=False)
            end = start + len(part)
            values[start:end] = part[: records - start]
            start = end
    if start != records:
        raise InputError(f"{scores} was rewritten while it was being read: try again")
    return values


def _checked_batches(path: str, where: Where, by: str | None) -> Iterator[pa.RecordBatch]:
    with open_shard(path) as parquet:
        schema = parquet.schema_arrow
    check_columns(path, schema, [SCORE, FLAG])
    where.check(schema)
    if by is not None and by not in schema.names:
        raise ConfigError(f"{path} has no column {by!r}{suggestion(by, schema.names)}")
    columns = [where.column, FLAG] if by is None else [where.column, FLAG, by]
    yield from shard_batches(path, list(dict.fromkeys(columns)))


def _truth_of(
    batch: pa.RecordBatch, where: Where, by: str | None, kinds: dict[str | None, int]
) -> tuple[np.ndarray, ...]:
    column = batch.column(where.column)
    labelled = ~_array(pc.is_null(column, nan_is_null=True))
    anomalous = _array(where.mask(column)) & labelled
    kind = np.full(len(batch), _NORMAL, np.int32)
    if by is not None:
        kind[anomalous] = _kinds(categories_of(batch, by).filter(pa.array(anomalous)), by, kinds)
    return labelled, anomalous, _array(batch.column(FLAG)), kind


def _kinds(column: pa.Array, name: str, kinds: dict[str | None, int]) -> np.ndarray:
    """(N,) indices of the values in `kinds`, to which new values are added."""
    encoded = column.dictionary_encode(null_encoding="encode")
    places = [kinds.setdefault(value, len(kinds)) for value in encoded.dictionary.to_pylist()]
    if len(kinds) > _MOST_KINDS:
        raise ConfigError(
            f"at most {_MOST_KINDS:,} kinds of anomaly are supported. Received: column {name!r} "
            "with more"
        )
    return np.array(places, np.int32)[encoded.indices.to_numpy()]


def _array(column: pa.Array) -> np.ndarray:
    return column.to_numpy(zero_copy_only=False)
