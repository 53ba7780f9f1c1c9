"""Parquet files with an `image` column: binary, or Hugging Face's struct<bytes, path>."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ae_models.errors import InputError
from transforms.records.batches import (
    ID,
    IMAGE,
    BatchLimits,
    bounded_slices,
    carried_name,
    image_records,
)
from transforms.records.passed_over import Cause, PassedOver
from transforms.records.pixels import holds_images, raw_layout, raw_metadata
from transforms.records.rejects import Reason, Stage, reject, rejected_records
from transforms.sources.array_records import numbered_ids
from transforms.sources.source import Listing, Source, first_schema
from transforms.storage.files import open_binary
from transforms.storage.paths import matches

# Of damaged metadata, numbers and names may be anything.
_READ_ERRORS = (
    *(OSError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, MemoryError),
    pa.ArrowException,
)
_PATTERNS = ("*.parquet",)
_FIRST_BYTES = 64 << 10  # of a column, at once, where its first row alone is wanted
_MOST_ROWS, _MOST_ROWS_APART = 1 << 53, 1 << 20  # of a file; each a reject of its own


class RowGroup(NamedTuple):
    """A task: a row group, the number of its first row in the file, and what the file had when it
    was listed. Without a group it is a file that could not be listed."""

    path: str
    group: int | None = None
    row: int = 0
    groups: int = 0
    rows: int = 0


@dataclasses.dataclass(frozen=True)
class ParquetFiles(Source):
    """The record id is the column `id`, else `FILE#ROW`; every other column is carried through.

    Pages are checked where they have checksums. Of a row group that is damaged, the rows behind the
    damage are rejects.

    `image` is encoded, or raw where the field's or the schema's metadata has `shape`, [H, W, C],
    and `dtype`. A task is one row group, read in bounded batches.
    """

    def listings(self) -> Iterator[Listing]:
        passed_over = PassedOver()
        for path in self.files(passed_over):
            if not matches(path, _PATTERNS):  # a folder of Parquet files holds others too
                passed_over.add(Cause.OTHER_KIND, path)
                continue
            try:
                with _open(path) as file:
                    if _problem(file.schema_arrow) is not None:
                        yield Listing(RowGroup(path))
                        continue
                    row, size = 0, (file.num_row_groups, file.metadata.num_rows)
                    for group, rows in enumerate(_group_rows(file)):
                        yield Listing(RowGroup(path, group, row, *size), records=rows)
                        row += rows
            except _READ_ERRORS:
                yield Listing(RowGroup(path))  # reading it tells why
        yield Listing(None, passed_over.taken())

    def paths(self, task: RowGroup) -> list[str]:
        return [task.path]

    def read(
        self,
        task: RowGroup,
        limits: BatchLimits,
        images: bool = True,
        passed_over: PassedOver | None = None,
    ) -> Iterator[pa.RecordBatch]:
        del passed_over
        path, group, row, *size = task
        try:
            with _open(path) as file:
                if (problem := _problem(file.schema_arrow)) is not None:
                    names = [self._file_id(path, group)]
                    yield rejected_records(names, path, Reason.NO_IMAGE, problem)
                    return
                if group is None or size != [file.num_row_groups, file.metadata.num_rows]:
                    raise pa.ArrowInvalid("it changed while it was read")
                yield from self._read_group(
                    file, path, group, first_row=row, limits=limits, images=images
                )
        except _READ_ERRORS as error:
            yield rejected_records(
                [self._file_id(path, group)], path, Reason.UNREADABLE, str(error)
            )

    def _file_id(self, path: str, group: int | None) -> str:
        """The id of what stands for a row group none of whose records can be told apart."""
        name = self.relative(path)
        return name if group is None else f"{name}#row_group={group}"

    def _read_group(
        self,
        file: pq.ParquetFile,
        path: str,
        group: int,
        *,
        first_row: int,
        limits: BatchLimits,
        images: bool,
    ) -> Iterator[pa.RecordBatch]:
        metadata = file.metadata.row_group(group)
        names = file.schema_arrow.names
        done = 0
        try:
            columns = names if images else [name for name in names if name != IMAGE]
            rows = min(
                _batch_rows(metadata, limits), _rows_by_dictionaries(file, path, group, limits)
            )
            for batch in file.iter_batches(rows, row_groups=[group], columns=columns):
                records = self._records(batch, file.schema_arrow, path, first_row + done, limits)
                yield from _bounded(records, limits)
                done += len(batch)
        except _READ_ERRORS as error:
            if (left := metadata.num_rows - done) > _MOST_ROWS_APART:
                message = f"{left} rows, from {first_row + done} on: {error}"
                names = [self._file_id(path, group)]
                yield rejected_records(names, path, Reason.UNREADABLE, message)
                return
            ids = pa.nulls(left)
            if ID in names:
                with contextlib.suppress(*_READ_ERRORS):  # else they are numbered
                    ids = file.read_row_group(group, [ID])[ID].combine_chunks()[done:]
            ids = self._ids(ids, path, first_row + done)
            yield rejected_records(ids.to_pylist(), path, Reason.UNREADABLE, str(error))

    def _records(
        self, batch: pa.RecordBatch, schema: pa.Schema, path: str, row: int, limits: BatchLimits
    ) -> pa.RecordBatch:
        names = batch.schema.names
        ids = batch.column(ID) if ID in names else pa.nulls(len(batch))
        images = batch.column(IMAGE) if IMAGE in names else pa.nulls(len(batch), pa.binary())
        if pa.types.is_struct(images.type):
            images = images.field("bytes")
        metadata = _raw_metadata(schema) if IMAGE in names else None
        rejects = None
        if images.nbytes > limits.record_bytes:
            images, rejects = _without_too_large(images, limits.record_bytes)
        return image_records(
            ids=self._ids(ids, path, row),
            source=path,
            images=images,
            carried={
                carried_name(name): _plain(batch.column(name))
                for name in names
                if name not in (ID, IMAGE)
            },
            rejects=rejects,
            image_metadata=metadata,
        )

    def _ids(self, column: pa.Array, path: str, row: int) -> pa.Array:
        numbered = numbered_ids(f"{self.relative(path)}#", row, len(column))
        if pa.types.is_null(column.type):
            return numbered
        return pc.coalesce(_texts(column), numbered)

    def carried(self) -> pa.Schema:
        paths = (path for path in self.files() if matches(path, _PATTERNS))
        return first_schema(paths, _carried)


def _carried(path: str) -> pa.Schema:
    try:
        with _open(path) as file:
            schema = file.schema_arrow
    except _READ_ERRORS as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if (problem := _problem(schema)) is not None:
        raise InputError(f"{path}: {problem}")
    return pa.schema(
        [
            pa.field(carried_name(field.name), _plain_type(field.type))
            for field in schema
            if field.name not in (ID, IMAGE)
        ]
    )


@contextlib.contextmanager
def _open(path: str) -> Iterator[pq.ParquetFile]:
    with (
        open_binary(path) as file,
        pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True) as parquet,
    ):
        yield parquet


def _problem(schema: pa.Schema) -> str | None:
    """Why the file holds no images that we can read, or None."""
    if IMAGE not in schema.names:
        return f"no {IMAGE!r} column (it has {', '.join(schema.names)})"
    names = [name if name in (ID, IMAGE) else carried_name(name) for name in schema.names]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f"several columns would be called {', '.join(twice)}"
    if ID in schema.names and pa.types.is_nested(schema.field(ID).type):
        return f"{ID!r} must be a plain column. Received: {schema.field(ID).type}"
    if not holds_images(kind := schema.field(IMAGE).type):
        return f"{IMAGE!r} must be binary or struct<bytes, path>. Received: {kind}"
    try:
        _raw_metadata(schema)
    except InputError as error:
        return str(error)
    return None


def _raw_metadata(schema: pa.Schema) -> dict[str, str] | None:
    layout = raw_layout(schema.field(IMAGE).metadata) or raw_layout(schema.metadata)
    return raw_metadata(*layout) if layout else None


def _batch_rows(row_group: pq.RowGroupMetaData, limits: BatchLimits) -> int:
    """How many rows stay within the limits, by the row group's average."""
    bytes_a_row = row_group.total_byte_size / max(1, row_group.num_rows)
    return max(1, min(limits.rows, int(limits.image_bytes / max(1.0, bytes_a_row))))


def _group_rows(file: pq.ParquetFile) -> list[int]:
    """The rows of each row group.

    Raises:
      pa.ArrowInvalid: numbers that no file has.
    """
    rows = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    if min(rows, default=0) < 0 or sum(rows) > _MOST_ROWS:
        raise pa.ArrowInvalid(f"row groups of {rows} rows")
    return rows


def _rows_by_dictionaries(file: pq.ParquetFile, path: str, group: int, limits: BatchLimits) -> int:
    """How many rows stay within `record_bytes` if each has the longest value that a dictionary of
    the row group holds: a few bytes of file may repeat it in every row."""
    # Of the schema alone: what the metadata say of a column's chunk may end the process, as pyarrow
    # does not catch what Arrow throws where its statistics are damaged.
    columns = [file.schema.column(index) for index in range(len(file.schema))]
    names = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    longest = 1
    for name in names:
        with (
            open_binary(path) as content,
            pq.ParquetFile(
                content, read_dictionary=[name], pre_buffer=False, buffer_size=_FIRST_BYTES
            ) as first,
        ):
            for batch in first.iter_batches(1, row_groups=[group], columns=[name]):
                column = batch.column(0)
                while pa.types.is_struct(column.type):
                    column = column.flatten()[0]
                if pa.types.is_dictionary(column.type):
                    lengths = pc.binary_length(column.dictionary)
                    longest = max(longest, pc.max(lengths).as_py() or 1)
                break
    return max(1, limits.record_bytes // longest)


def _without_too_large(images: pa.Array, most: int) -> tuple[pa.Array, list[dict | None]]:
    """Null in the place of each image of more than `most` bytes, and the reject of each row."""
    if pa.types.is_fixed_size_binary(images.type):
        images = images.cast(pa.large_binary())
    lengths = pc.binary_length(images)
    fits = pc.less_equal(lengths, most).fill_null(True)
    rejects = [
        None if fit else reject(Stage.READ, Reason.TOO_LARGE, f"{size} bytes, more than {most}")
        for fit, size in zip(fits.to_pylist(), lengths.to_pylist(), strict=True)
    ]
    return pc.if_else(fits, images, pa.scalar(None, images.type)), rejects


def _texts(ids: pa.Array) -> pa.Array:
    try:
        texts = ids.cast(pa.string())
        texts.validate(full=True)  # a file's texts are taken for UTF-8 unseen
        return texts
    except pa.ArrowInvalid:  # bytes that are no UTF-8
        values = [
            v if v is None else v.decode("utf-8", "backslashreplace")
            for v in ids.cast(pa.large_binary()).to_pylist()
        ]
        return pa.array(values, pa.string())


def _bounded(records: pa.RecordBatch, limits: BatchLimits) -> Iterator[pa.RecordBatch]:
    """Slices within the limit of bytes: images that are alike take next to no room in a file."""
    image_bytes = max(1, records.column(IMAGE).nbytes // max(1, len(records)))
    return bounded_slices(records, max(1, limits.image_bytes // image_bytes))


def _plain(column: pa.Array) -> pa.Array:
    column = column.cast(_plain_type(column.type))
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _texts(column).cast(column.type)
    column.validate(full=True)
    return column


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Dictionary-encoded columns as their values: dictionaries differ from batch to batch. A
    column without any value has no type, and is taken for text."""
    if pa.types.is_null(kind):
        return pa.string()
    return kind.value_type if pa.types.is_dictionary(kind) else kind
