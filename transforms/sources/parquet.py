"""Parquet files with an `image` column: binary, or Hugging Face's struct<bytes, path>."""

import contextlib
import dataclasses
import functools
import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ae_models.errors import InputError
from transforms.records.batches import (
    IMAGE,
    REJECT,
    REJECT_TYPE,
    BatchLimits,
    bounded_slices,
    image_records,
    with_column,
)
from transforms.records.passed_over import Cause, PassedOver
from transforms.records.pixels import raw_layout, raw_metadata
from transforms.records.rejects import Reason, RecordError, Stage, reject, rejected_records
from transforms.sources.array_records import numbered_ids
from transforms.sources.kinds import files_of
from transforms.sources.layouts.image_paths import path_within, read_image_file
from transforms.sources.layouts.parquet_images import Part, first_items, image_parts
from transforms.sources.layouts.parquet_layout import Form, Layout, find_layout, is_list, plain_type
from transforms.sources.layouts.partition_columns import partition_schema, partition_values
from transforms.sources.source import Listing, Source, first_schema
from transforms.storage.files import fixed_root, open_binary
from transforms.storage.paths import is_local, relative_path

# Numbers and names in damaged metadata may be anything, and so may the errors.
_READ_ERRORS = (
    *(OSError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, MemoryError),
    pa.ArrowException,
)
_NOTE = re.compile(r"/_")
_FIRST_BYTES = 64 << 10  # read of a column at a time when only its first row is needed
_MOST_ROWS, _MOST_ROWS_APART = 1 << 53, 1 << 20  # per file; as separate rejects


class RowGroup(NamedTuple):
    """A task: a row group, the number of its first row in the file, and the file's numbers of row
    groups and rows when it was listed. A task without a group is a file that could not be
    listed."""

    path: str
    group: int | None = None
    row: int = 0
    groups: int = 0
    rows: int = 0


class _File(NamedTuple):
    """What is known about a file before its rows are read.

    metadata: for raw pixels, their shape and type.
    partition: values of the hive partition columns.
    """

    layout: Layout
    schema: pa.Schema
    metadata: Mapping[str, str] | None
    partition: Mapping[str, pa.Scalar]

    def columns(self, images: bool) -> list[str]:
        """The names of the columns to read."""
        image = None if images or self.layout.image == self.layout.identifier else self.layout.image
        return [name for name in self.schema.names if name != image]

    def output(self) -> pa.Schema:
        """The carried columns, by output name."""
        kinds = {field.name: plain_type(field.type) for field in self.schema}
        kinds |= {name: value.type for name, value in self.partition.items()}
        return pa.schema([(output, kinds[name]) for name, output in self.layout.carried])


@dataclasses.dataclass(frozen=True)
class ParquetFiles(Source):
    """The record id is the column `id`, or the id column given in the options; without either it is
    `FILE#ROW`. Every other column is carried through, including those of hive partitions
    (`label=good/part-0.parquet`).

    Images are in the image column given in the options, in `image`, or in the only column whose
    type can contain images (`parquet_layout`). They are encoded, or raw if the metadata of the
    field or the schema has `shape`, [H, W, C], and `dtype`. The first image of a list is read.
    Paths in a column are those of files, relative to the Parquet file's folder; none may lead out
    of the input.

    Pages that have checksums are checked. In a damaged row group, the rows after the damage are
    rejects. A task is one row group, read in bounded batches.
    """

    def listings(self) -> Iterator[Listing]:
        passed_over, known = PassedOver(), self.carried().names
        for path in self._members(passed_over):
            try:
                with _open(path) as file:
                    found = self._file(file, path)
                    if isinstance(found, str):
                        yield Listing(RowGroup(path))
                        continue
                    for name in set(found.output().names).difference(known):
                        passed_over.add(Cause.LATE_COLUMN, f"{path}#{name}")
                    row, size = 0, (file.num_row_groups, file.metadata.num_rows)
                    for group, rows in enumerate(_group_rows(file)):
                        yield Listing(RowGroup(path, group, row, *size), records=rows)
                        row += rows
            except _READ_ERRORS:
                yield Listing(RowGroup(path))  # the reader reports the reason
        yield Listing(None, passed_over.taken())

    def _members(self, passed_over: PassedOver | None = None) -> Iterator[str]:
        """The files to read. Files and folders whose name begins with an underscore are metadata
        of other programs."""
        for path in files_of("parquet", self, passed_over):
            if path == self.uri or not _NOTE.search(f"/{relative_path(path, self._root)}"):
                yield path
            elif passed_over is not None:
                passed_over.add(Cause.OTHER_KIND, path)

    def paths(self, task: RowGroup) -> list[str]:
        return [task.path, *dict.fromkeys(self._image_files(task))]

    def _image_files(self, task: RowGroup) -> Iterator[str]:
        """The files that a column of paths names, as far as they can be determined."""
        path, group, *_ = task
        with contextlib.suppress(*_READ_ERRORS), _open(path) as file:
            found = self._file(file, path)
            if group is None or isinstance(found, str) or found.layout.form is not Form.PATH:
                return
            for batch in file.iter_batches(row_groups=[group], columns=[found.layout.image]):
                texts, _ = first_items(batch.column(0).cast(plain_type(batch.column(0).type)))
                for text in filter(None, texts.to_pylist()):
                    with contextlib.suppress(RecordError, ValueError):
                        yield self.within(text, path)

    def read(
        self,
        task: RowGroup,
        limits: BatchLimits,
        images: bool = True,
        passed_over: PassedOver | None = None,
    ) -> Iterator[pa.RecordBatch]:
        path, group, row, *size = task
        try:
            with _open(path) as file:
                found = self._file(file, path)
                if isinstance(found, str):
                    yield rejected_records(
                        [self.file_id(path, group)], path, Reason.NO_IMAGE, found
                    )
                    return
                if group is None or size != [file.num_row_groups, file.metadata.num_rows]:
                    raise pa.ArrowInvalid("the file changed while it was read")
                told = PassedOver() if passed_over is None else passed_over
                reader = _GroupReader(self, found, path, limits, images, told)
                yield from reader.read(file, group, row)
        except _READ_ERRORS as error:
            yield rejected_records([self.file_id(path, group)], path, Reason.UNREADABLE, str(error))

    def file_id(self, path: str, group: int | None) -> str:
        """The id of the reject that stands for an entire file or row group."""
        name = self.relative(path)
        return name if group is None else f"{name}#row_group={group}"

    def carried(self) -> pa.Schema:
        return first_schema(self._members(), self._carried)

    def _carried(self, path: str) -> pa.Schema:
        try:
            with _open(path) as file:
                found = self._file(file, path, strict=True)
        except _READ_ERRORS as error:
            raise InputError(f"cannot read {path}: {error}") from error
        if isinstance(found, str):
            raise InputError(f"{path}: {found}")
        return found.output()

    def _file(self, file: pq.ParquetFile, path: str, strict: bool = False) -> "_File | str":
        """What is known about a file, or why it contains no readable images."""
        schema = file.schema_arrow
        partition = partition_values(relative_path(path, self._root), self._partition)
        try:
            layout = find_layout(schema, self.options, partition, strict)
            return _File(layout, schema, _raw_metadata(schema, layout.image), partition)
        except InputError as error:
            return str(error)

    @functools.cached_property
    def _root(self) -> str:
        """The input's folder; ids may be relative to a folder above it."""
        return fixed_root(self.uri)

    @functools.cached_property
    def real_root_of_images(self) -> str | None:
        """The real path of the local folder that image files must be in when they are opened."""
        if self.options.follow_links or not is_local(self.uri):
            return None
        return os.path.realpath(self._root or ".")

    @functools.cached_property
    def _partition(self) -> pa.Schema:
        """Computed once: workers receive it with the source."""
        return partition_schema(relative_path(path, self._root) for path in self._members())

    def within(self, text: str, path: str) -> str:
        """The image file that a record of `path` names; RecordError if its path leads out of the
        input."""
        return path_within(text, posixpath.dirname(path), self._root, self.options.follow_links)


@dataclasses.dataclass(frozen=True)
class _GroupReader:
    """Reads row groups of one file.

    Args:
      source: the source that the file belongs to.
      found: what is known about the file.
      images: whether to read images.
      passed_over: counts further images of a record.
    """

    source: ParquetFiles
    found: _File
    path: str
    limits: BatchLimits
    images: bool
    passed_over: PassedOver

    def read(self, file: pq.ParquetFile, group: int, first: int) -> Iterator[pa.RecordBatch]:
        """The records of a row group whose first row has the number `first` in the file."""
        metadata = file.metadata.row_group(group)
        done = 0
        try:
            by_size = _batch_rows(metadata, self.limits)
            rows = min(by_size, _rows_by_dictionaries(file, self.path, group, self.limits))
            columns = self.found.columns(self.images)
            for batch in file.iter_batches(rows, row_groups=[group], columns=columns):
                yield from self._records(batch, first + done)
                done += len(batch)
        except _READ_ERRORS as error:
            left = metadata.num_rows - done
            yield self._unreadable(file, group, range(first + done, first + done + left), error)

    def _unreadable(
        self, file: pq.ParquetFile, group: int, rows: range, error: Exception
    ) -> pa.RecordBatch:
        """The last rows of a row group as rejects."""
        if len(rows) > _MOST_ROWS_APART:
            message = f"{len(rows)} rows, starting at row {rows.start}: {error}"
            names = [self.source.file_id(self.path, group)]
            return rejected_records(names, self.path, Reason.UNREADABLE, message)
        ids, name = pa.nulls(len(rows)), self.found.layout.identifier
        if name is not None:
            with contextlib.suppress(*_READ_ERRORS):  # if this fails, ids are numbers
                whole = file.read_row_group(group, [name])[name].combine_chunks()
                ids = whole[len(whole) - len(rows) :]
        ids = self._ids(ids, rows.start)
        return rejected_records(ids.to_pylist(), self.path, Reason.UNREADABLE, str(error))

    def _records(self, batch: pa.RecordBatch, row: int) -> Iterator[pa.RecordBatch]:
        layout = self.found.layout
        given = pa.nulls(len(batch))
        if layout.identifier is not None:
            given = batch.column(layout.identifier)
        no_ids = given.is_null().to_pylist() if layout.needs_identifier else [False] * len(batch)
        records = image_records(
            ids=self._ids(given, row),
            source=self.path,
            images=pa.nulls(len(batch), pa.binary()),
            carried={output: self._carried(batch, name) for name, output in layout.carried},
            rejects=[_no_id(layout) if is_null else None for is_null in no_ids],
        )
        if not self.images:
            yield records
            return
        column, further = first_items(batch.column(layout.image))
        if further:
            self.passed_over.add(Cause.FURTHER_IMAGE, f"{self.path}#{layout.image}", further)
        read_file = functools.partial(
            read_image_file,
            find=self._within,
            most=self.limits.record_bytes,
            within=self.source.real_root_of_images,
        )
        start = 0
        for part in image_parts(column, layout.form, self.found.metadata, read_file, self.limits):
            end = start + len(part.images)
            yield from _bounded(_with_images(records[start:end], part), self.limits)
            start = end

    def _within(self, text: str) -> str:
        return self.source.within(text, self.path)

    def _carried(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        value = self.found.partition.get(name)
        return _plain(batch.column(name)) if value is None else pa.repeat(value, len(batch))

    def _ids(self, column: pa.Array, row: int) -> pa.Array:
        numbered = numbered_ids(f"{self.source.relative(self.path)}#", row, len(column))
        if pa.types.is_null(column.type):
            return numbered
        return pc.coalesce(_texts(column), numbered)


def _no_id(layout: Layout) -> dict[str, str]:
    return reject(Stage.READ, Reason.NO_ID, f"{layout.identifier!r} is null")


def _with_images(records: pa.RecordBatch, part: Part) -> pa.RecordBatch:
    """`records` with the images, except those of records that are already rejects."""
    before = records.column(REJECT)
    images, rejects = part.images, part.rejects
    if before.null_count < len(before):
        images = pc.if_else(before.is_null(), images, pa.scalar(None, images.type))
        rejects = [old or new for old, new in zip(before.to_pylist(), rejects, strict=True)]
    records = with_column(records, IMAGE, images, part.metadata)
    if any(rejects):
        records = with_column(records, REJECT, pa.array(rejects, REJECT_TYPE))
    return records


@contextlib.contextmanager
def _open(path: str) -> Iterator[pq.ParquetFile]:
    with (
        open_binary(path) as file,
        pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True) as parquet,
    ):
        yield parquet


def _raw_metadata(schema: pa.Schema, image: str) -> dict[str, str] | None:
    layout = raw_layout(schema.field(image).metadata) or raw_layout(schema.metadata)
    return raw_metadata(*layout) if layout else None


def _batch_rows(row_group: pq.RowGroupMetaData, limits: BatchLimits) -> int:
    """The number of rows that stay within the limits, by the row group's average row size."""
    bytes_a_row = row_group.total_byte_size / max(1, row_group.num_rows)
    return max(1, min(limits.rows, int(limits.image_bytes / max(1.0, bytes_a_row))))


def _group_rows(file: pq.ParquetFile) -> list[int]:
    """The rows of each row group.

    Raises:
      pa.ArrowInvalid: the numbers are impossible.
    """
    rows = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    if min(rows, default=0) < 0 or sum(rows) > _MOST_ROWS:
        raise pa.ArrowInvalid(f"impossible row counts of the row groups: {rows}")
    return rows


def _rows_by_dictionaries(file: pq.ParquetFile, path: str, group: int, limits: BatchLimits) -> int:
    """The number of rows that stay within `record_bytes` if each has the longest value in a
    dictionary of the row group: a few bytes of the file may repeat that value in every row."""
    # From the schema alone: reading the metadata of a column chunk may end the process, because
    # pyarrow does not catch what Arrow throws if the chunk's statistics are damaged.
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
                while pa.types.is_nested(column.type):
                    column = _leaf(column)
                if pa.types.is_dictionary(column.type):
                    lengths = pc.binary_length(column.dictionary)
                    longest = max(longest, pc.max(lengths).as_py() or 1)
                break
    return max(1, limits.record_bytes // longest)


def _leaf(column: pa.Array) -> pa.Array:
    """The values within a nested column that has a single leaf."""
    if pa.types.is_struct(column.type):
        return column.flatten()[0]
    return column.values if is_list(column.type) else pa.nulls(0)


def _texts(ids: pa.Array) -> pa.Array:
    try:
        texts = ids.cast(pa.string())
        texts.validate(full=True)  # Arrow does not check that a file's texts are UTF-8
        return texts
    except pa.ArrowInvalid:  # bytes that are not UTF-8
        values = [
            v if v is None else v.decode("utf-8", "backslashreplace")
            for v in ids.cast(pa.large_binary()).to_pylist()
        ]
        return pa.array(values, pa.string())


def _bounded(records: pa.RecordBatch, limits: BatchLimits) -> Iterator[pa.RecordBatch]:
    """Slices within the byte limit: identical images take almost no space in a file."""
    image_bytes = max(1, records.column(IMAGE).nbytes // max(1, len(records)))
    return bounded_slices(records, max(1, limits.image_bytes // image_bytes))


def _plain(column: pa.Array) -> pa.Array:
    column = column.cast(plain_type(column.type))
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _texts(column).cast(column.type)
    column.validate(full=True)
    return column
