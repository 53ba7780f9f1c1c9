"""Reading the rows of a finished run's files, robustly against damage: the only way to do so."""

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from ae_models.bundles.names import SCORE_PREFIX
from ae_models.errors import InputError
from transforms.records.batches import ID
from transforms.runs.ledger import SCORES, result_files
from transforms.runs.shards import open_shard, read_errors
from transforms.storage.sealed_file import sha256_of

_BATCH_ROWS = 8192


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind.value_type if pa.types.is_dictionary(kind) else kind))


def _is_vector(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
    return is_list and pa.types.is_floating(kind.value_type)


# The permitted types of columns whose names have the same meaning in every run.
_KINDS: dict[str, Callable[[pa.DataType], bool]] = {
    **dict.fromkeys((ID, "source", "model", "stage", "reason", "message", "class"), _is_text),
    **dict.fromkeys(("score", "p_value", "probability", "outlier_score"), pa.types.is_floating),
    **dict.fromkeys(("distance_to_center", "log_evidence"), pa.types.is_floating),
    **dict.fromkeys(("latent_mean", "latent_stddev", "probabilities"), _is_vector),
    "is_anomaly": pa.types.is_boolean,
    "cluster": pa.types.is_integer,
}
_NEVER_NULL = (ID, "score", "is_anomaly", "cluster")


def shard_batches(
    path: str,
    columns: Sequence[str] | None = None,
    *,
    rows: int = _BATCH_ROWS,
    group: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a file, in batches.

    Args:
      path: the path of the file.
      columns: the columns to read; if None, all.
      rows: the maximum number of rows of a batch.
      group: the row group to read; if None, all.

    Raises:
      InputError: the file is damaged, or lacks these columns with the expected types.
    """
    with open_shard(path) as parquet:
        names = list(parquet.schema_arrow.names if columns is None else columns)
        check_columns(path, parquet.schema_arrow, names)
        groups = range(parquet.num_row_groups) if group is None else [group]
        metadata = parquet.metadata
        left = sum(metadata.row_group(index).num_rows for index in groups)
        for batch in parquet.iter_batches(rows, row_groups=list(groups), columns=names):
            batch.validate(full=True)  # reading does not check that texts are UTF-8
            for name in _NEVER_NULL:
                if name in names and batch.column(name).null_count:
                    raise InputError(f"cannot read {path}: a value of {name!r} is missing")
            left -= len(batch)
            yield batch.select(names)
        if left:
            raise InputError(f"cannot read {path}: {left} rows are missing")


def score_columns(scores: str) -> list[str]:
    """The `score_<name>` columns of a finished run; none if it has no file of scores.

    Raises:
      InputError: there is no finished run, or a file cannot be read.
    """
    for path in result_files(scores, SCORES):
        with open_shard(path) as parquet:
            return [name for name in parquet.schema_arrow.names if name.startswith(SCORE_PREFIX)]
    return []


def check_columns(path: str, schema: pa.Schema, columns: Sequence[str]) -> None:
    """Raises InputError unless a file has each of these columns once, and the standard ones have
    their standard types."""
    for name in columns:
        if schema.names.count(name) != 1:
            raise InputError(f"{path} has no column {name!r}")
        kind, is_usual = schema.field(name).type, _KINDS.get(name)
        if is_usual is None and name.startswith(SCORE_PREFIX):
            is_usual = pa.types.is_floating
        if is_usual is not None and not is_usual(kind):
            raise InputError(f"{path}: column {name!r} cannot be of type {kind}")


def check_whole(folder: str, listed: Mapping[str, Any]) -> None:
    """Checks a file against its ledger entry: every byte if the ledger has the file's digest,
    otherwise (older runs) all readable content.

    Args:
      folder: the run folder.
      listed: the file's entry in the ledger.

    Raises:
      InputError: the file differs from what was written.
    """
    path = posixpath.join(folder, listed["path"])
    with open_shard(path) as parquet:
        rows = parquet.metadata.num_rows
    if rows != listed["rows"]:
        raise InputError(f"{path} contains {rows} rows, but the ledger says {listed['rows']}")
    if (expected := listed.get("sha256")) is None:
        for _ in shard_batches(path):
            pass
        return
    with read_errors(path):
        if sha256_of(path) != expected:
            raise InputError(f"{path} was changed since the run was written")
