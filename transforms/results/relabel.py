"""Resetting the flags of a finished run from its p-values, or from another of its scores, one row
group at a time."""

import contextlib
import dataclasses
import hashlib
import posixpath
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ae_models.calibration.score_calibration import ScoreCalibration
from ae_models.errors import InputError, OutputError
from transforms.results.read_shards import check_columns, check_whole, shard_batches
from transforms.runs.ledger import MAPS, PICTURES, SCORES, read_ledger, result_files, unlisted_files
from transforms.runs.pictures import Picture, pictures_named
from transforms.runs.shards import Shard, open_shard, read_errors
from transforms.storage.changes import create, write_all
from transforms.storage.sealed_file import SealedFile, open_plain
from transforms.storage.staging import output_errors

_SCORE, _P_VALUE, _FLAG = "score", "p_value", "is_anomaly"
_COPIED_BYTES, _COPIED_PICTURES = 1 << 20, 128


@dataclasses.dataclass(frozen=True)
class NewScore:
    """Another score from which to compute `score` and `p_value`: its column and calibration."""

    column: str
    calibration: ScoreCalibration

    def p_values(self, values: pa.Array | pa.ChunkedArray, path: str) -> np.ndarray:
        """The p-values of a column of a file, (N,) float64.

        Raises:
          InputError: a value is not a finite number.
        """
        scores = values.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
        if bad := int((~np.isfinite(scores)).sum()):
            raise InputError(
                f"{path}: {self.column} of {bad} records is not a finite number: score with "
                f"--primary {self.calibration.name} to reject these records"
            )
        return self.calibration.p_values(scores)


def scored_rows(scores: str, new: NewScore | None = None) -> int:
    """Checks that the files of a finished run are intact and have the new score's column, and
    returns the number of scored records.

    Raises:
      InputError: there is no finished run, or its files do not match its ledger.
    """
    for path in unlisted_files(scores):
        raise InputError(f"{path} is not in the ledger")
    rows = 0
    for listed in read_ledger(scores)["files"]:
        check_whole(scores, listed)
        if listed["path"].partition("/")[0] == SCORES:
            path = posixpath.join(scores, listed["path"])
            with open_shard(path) as parquet:
                _check_columns(path, parquet.schema_arrow)
                if new is not None:
                    check_columns(path, parquet.schema_arrow, [_SCORE, new.column])
            rows += listed["rows"]
    return rows


def p_values(scores: str, rows: int = 65_536, new: NewScore | None = None) -> Iterator[np.ndarray]:
    """Yields the p-values of a finished run, or those of a new score, (N,) float64, N at most
    `rows`, in the order of its files.

    Raises:
      InputError: a file cannot be read.
    """
    for path in result_files(scores, SCORES):
        column = _P_VALUE if new is None else new.column
        for batch in shard_batches(path, [column], rows=rows):
            values = batch.column(0)
            yield (
                values.to_numpy(zero_copy_only=False) if new is None else new.p_values(values, path)
            )


def relabel_files(
    scores: str,
    staging: str,
    threshold: float,
    show: Callable[[int], None],
    new: NewScore | None = None,
) -> tuple[list[Shard], int]:
    """Rewrites every file of a finished run to `staging`: scores with `is_anomaly` set to
    p_value <= threshold and everything else unchanged, other files byte for byte.

    Args:
      scores: the folder of the finished run.
      staging: the folder to write to.
      threshold: the greatest p-value that is flagged; NaN is never flagged.
      show: called after each row group with the number of scored records written so far.
      new: if given, `score` and `p_value` are set too.

    Returns:
      The files, and the number of flagged records.

    Raises:
      InputError: a file cannot be read.
      OutputError: a file cannot be written.
    """
    shards, done, flagged = [], 0, 0

    def count(flags: np.ndarray) -> None:
        nonlocal done, flagged
        done, flagged = done + len(flags), flagged + int(flags.sum())
        show(done)

    for number, listed in enumerate(read_ledger(scores)["files"]):
        kind = listed["path"].partition("/")[0]
        source = posixpath.join(scores, listed["path"])
        target = posixpath.join(staging, f"{kind}-{number:05d}.parquet")
        with _created(target) as sink:
            if kind == SCORES:
                _relabel_file(source, sink, threshold, count, new)
            else:
                _copy(source, sink)
        if kind == MAPS:
            _copy_pictures(source, scores, staging)
        # Files without a first id are ordered by path, and thus stay in the run's order.
        shards.append(Shard(kind, target, listed["rows"], "", {}, sink.sha256))
    return shards, flagged


def _relabel_file(
    source: str,
    sink: SealedFile,
    threshold: float,
    written: Callable[[np.ndarray], None],
    new: NewScore | None,
) -> None:
    """Writes `sink`; `written` is called with the flags of each row group once it is written."""
    with open_shard(source) as parquet:
        schema, options = parquet.schema_arrow, _writer_options(parquet.metadata)
    with pq.ParquetWriter(sink, schema, **options) as writer:
        for group in _row_groups(source):
            table = group if new is None else _by_score(group, new, source)
            flags = table[_P_VALUE].to_numpy() <= threshold
            relabelled = _replaced(table, _FLAG, pa.array(flags))
            writer.write_table(relabelled, row_group_size=max(1, len(table)))
            written(flags)


def _by_score(table: pa.Table, new: NewScore, source: str) -> pa.Table:
    scores = table[new.column]
    p_values_of = pa.array(new.p_values(scores, source))
    return _replaced(_replaced(table, _SCORE, scores), _P_VALUE, p_values_of)


def _replaced(table: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    index = table.schema.get_field_index(name)
    field = table.schema.field(index)
    return table.set_column(index, field, column.cast(field.type))


def _row_groups(path: str) -> Iterator[pa.Table]:
    with open_shard(path) as parquet:
        for group in range(parquet.num_row_groups):
            table = parquet.read_row_group(group)
            table.validate(full=True)
            yield table


def _writer_options(metadata: pq.FileMetaData) -> dict[str, Any]:
    """A file's compression of each column and its choice of dictionaries."""
    group = metadata.row_group(0) if metadata.num_row_groups else None
    columns = [group.column(n) for n in range(group.num_columns)] if group else []
    codecs = {column.path_in_schema: column.compression.lower() for column in columns}
    return {
        "compression": {n: "none" if c == "uncompressed" else c for n, c in codecs.items()},
        "use_dictionary": [c.path_in_schema for c in columns if c.has_dictionary_page],
        "write_page_checksum": True,
    }


def _copy(source: str, sink: SealedFile) -> None:
    for part in _parts(source):
        sink.write(part)


def _copy_pictures(shard: str, scores: str, staging: str) -> None:
    """Copies the pictures that the rows of a shard of maps name."""
    for pictures in pictures_named(shard):
        for start in range(0, len(pictures), _COPIED_PICTURES):
            some = pictures[start : start + _COPIED_PICTURES]
            contents = {posixpath.join(staging, p.path): _picture(scores, p) for p in some}
            with output_errors(staging):
                write_all(contents, posixpath.join(staging, PICTURES), "image/png")


def _picture(scores: str, picture: Picture) -> bytes:
    """The content of a picture of the run, checked against its digest."""
    path = posixpath.join(scores, picture.path)
    content = b"".join(_parts(path))
    if hashlib.sha256(content).hexdigest() != picture.sha256:
        raise InputError(f"{path} was changed since the run was written")
    return content


def _parts(path: str) -> Iterator[bytes]:
    with read_errors(path), open_plain(path) as file:
        while part := file.read(_COPIED_BYTES):
            yield part


@contextlib.contextmanager
def _created(path: str) -> Iterator[SealedFile]:
    try:
        with SealedFile(create(path, "application/vnd.apache.parquet")) as sink:
            yield sink
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error}") from error


def _check_columns(path: str, schema: pa.Schema) -> None:
    for name, kind in ((_P_VALUE, pa.float64()), (_FLAG, pa.bool_())):
        index = schema.get_field_index(name)
        if index < 0 or schema.field(index).type != kind:
            raise InputError(f"{path} has no column {name!r} of type {kind}")
