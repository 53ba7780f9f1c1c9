"""TFRecord files of `tf.train.Example`."""

import contextlib
import dataclasses
import functools
import itertools
import os
from collections.abc import Generator, Iterable, Iterator
from typing import Any, ClassVar, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from ae_models.errors import InputError
from transforms.records.batches import BatchLimits, image_records
from transforms.records.passed_over import Cause, PassedOver
from transforms.records.pixels import Shape, raw_metadata
from transforms.records.rejects import Reason, RecordError, Stage, rejected_records
from transforms.records.signatures import START_BYTES
from transforms.sources.array_records import numbered_ids
from transforms.sources.kinds import files_of
from transforms.sources.layouts.raw_runs import layout_runs
from transforms.sources.layouts.tfrecord_features import (
    DEPTHS,
    HEIGHTS,
    WIDTHS,
    Features,
    find_features,
    is_encoded,
    raw_shape,
)
from transforms.sources.recovery.record_file import Damage, record_batches
from transforms.sources.source import first_schema
from transforms.sources.whole_files import WholeFiles

_RECORDS_THAT_TELL_COLUMNS = 100
_ARROW_TYPES = {"bytes_list": pa.string(), "int64_list": pa.int64(), "float_list": pa.float32()}
_USUAL = Features()


class _Columns(NamedTuple):
    """The roles of a source's features, and its columns."""

    features: Features
    carried: pa.Schema


@dataclasses.dataclass(frozen=True)
class TFRecordFiles(WholeFiles):
    """The record id is the id feature given in the options, or `image/filename`; without either it
    is `FILE#N`. Images are the image feature given in the options, `image/encoded`, `image` or
    `image_raw`, or the only feature whose values begin like an image. Raw pixels need features
    `height` and `width`, and may have `depth`. The label feature given in the options, or
    `image/class/label`, becomes `label`; other scalar features keep their names.

    Columns are those of the first file's first 100 records. A task is one file. A gap of an
    unknown number of lost records is one reject and takes one number.
    """

    kind: ClassVar[str] = "tfrecord"

    def read(
        self,
        task: bytes,
        limits: BatchLimits,
        images: bool = True,
        passed_over: PassedOver | None = None,
    ) -> Iterator[pa.RecordBatch]:
        path = os.fsdecode(task)
        number, prefix = 0, f"{self.relative(path)}#"
        features, carried = self._layout
        told = PassedOver() if passed_over is None else passed_over
        rows = ExampleRows(path, prefix, carried, images, features, told)
        for records in record_batches(path, limits):
            if isinstance(records, Damage):  # however many records were lost, they count as one
                ids = [f"{prefix}{number}"]
                yield rejected_records(ids, path, records.reason, records.message)
                number += 1
                continue
            at_once = rows.columnar(number, records)
            yield from [at_once] if at_once else rows.one_by_one(number, records)
            number += len(records)
        for column in rows.late:
            told.add(Cause.LATE_COLUMN, f"{path}#{column}")

    def carried(self) -> pa.Schema:
        return self._layout.carried

    @functools.cached_property
    def _layout(self) -> _Columns:
        """Computed once: workers receive it with the source."""
        return first_schema(files_of(self.kind, self), self._layout_of)

    def _layout_of(self, path: str) -> _Columns:
        kinds, scalars, starts = dict[str, str](), dict[str, pa.DataType](), dict[str, bytes]()
        failure, found = None, False
        with contextlib.closing(_examples(path)) as examples:
            for features in itertools.islice(examples, _RECORDS_THAT_TELL_COLUMNS):
                if isinstance(features, Damage):
                    failure = failure or features
                    continue
                found = True
                for name, feature in features.items():
                    if (kind := feature.WhichOneof("kind")) is None:
                        continue
                    kinds.setdefault(name, kind.removesuffix("_list"))
                    if scalar := _scalar_type(feature):
                        scalars.setdefault(name, scalar)
                    if kind == "bytes_list" and feature.bytes_list.value:
                        starts.setdefault(name, feature.bytes_list.value[0][:START_BYTES])
        if failure and not found:
            raise InputError(f"{path} is not a TFRecord file of tf.Example: {failure.message}")
        try:
            found_features = find_features(kinds, starts, self.options) if found else _USUAL
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        fields = {
            column: scalar
            for name, scalar in scalars.items()
            if (column := found_features.column(name)) is not None
        }
        return _Columns(found_features, pa.schema(sorted(fields.items())))


def _examples(path: str) -> Generator[Any | Damage]:
    """The features of each record, or why it has none."""
    limits = BatchLimits(rows=_RECORDS_THAT_TELL_COLUMNS)
    for records in record_batches(path, limits):
        if isinstance(records, Damage):
            yield records
            continue
        for data in records:
            try:
                yield _parse(data)
            except RecordError as error:
                yield Damage(str(error))


# For raw pixels, their shape and type; for an encoded image, empty.
_Layout: TypeAlias = tuple[()] | tuple[Shape, str]


class _Row(NamedTuple):
    """A single record; `layout` is None if there is no image."""

    identifier: str
    image: bytes | None
    layout: _Layout | None
    values: dict[str, Any]
    reject: dict[str, str] | None


@dataclasses.dataclass(frozen=True)
class ExampleRows:
    """Image records from serialised examples of one file, in either of two ways.

    Args:
      path: the file.
      prefix: prefix of the id of a record without an id feature; its number follows.
      carried: the source's columns.
      images: whether to read images.
      features: which features are images, ids and labels.
      passed_over: counts further images of a record.
      late: filled with columns that records have but the source does not.
    """

    path: str
    prefix: str
    carried: pa.Schema
    images: bool
    features: Features = _USUAL
    passed_over: PassedOver = dataclasses.field(default_factory=PassedOver)
    late: set[str] = dataclasses.field(default_factory=set)

    def columnar(self, first: int, records: list[bytes]) -> pa.RecordBatch | None:
        """The result of `one_by_one`, without an object per record. None if a record is unusual:
        only `one_by_one` can find which one, and why."""
        try:
            features = _decoded(records)
            columns = self._by_column(features)
            encoded = self._encoded(features)
            found = image_records(
                ids=self._ids(features, first, len(records)),
                source=self.path,
                images=encoded if self.images else pa.nulls(len(records), pa.binary()),
                carried={
                    field.name: _scalars(columns.get(field.name), field.type, len(records))
                    for field in self.carried
                },
            )
        except (_UnusualError, RuntimeError, pa.ArrowInvalid):  # the decoder raises RuntimeError
            return None
        names = self.features.of_images(features)
        self._count_images([(n, _values_of_bytes(features[n])) for n in names], len(records))
        late = self._without_column(features)
        self.late.update(column for name, column in late if _has_scalar(features[name]))
        return found

    def _ids(self, features: dict[str, pa.Array], first: int, count: int) -> pa.Array:
        if self.features.identifier not in features:
            if self.features.needs_identifier:
                raise _UnusualError
            return numbered_ids(self.prefix, first, count)
        ids = _only_values(features[self.features.identifier], pa.string())
        if pc.min(pc.binary_length(ids)).as_py() == 0:
            raise _UnusualError
        return ids

    def _encoded(self, features: dict[str, pa.Array]) -> pa.Array:
        """(N,) encoded images, one per record."""
        name = next((name for name in self.features.images if name in features), None)
        if name is None:
            raise _UnusualError
        images = _only_values(features[name], pa.binary())
        if self.features.may_be_raw(name, features):
            starts = pc.binary_slice(images, 0, START_BYTES).to_pylist()
            if not all(map(is_encoded, starts)):
                raise _UnusualError
        return images

    def _by_column(self, features: dict[str, pa.Array]) -> dict[str, pa.Array]:
        """The carried features, by output name."""
        named = [(self.features.column(name), array) for name, array in features.items()]
        columns = {name: array for name, array in named if name is not None}
        if len(columns) < sum(name is not None for name, _ in named):
            raise _UnusualError
        return columns

    def _count_images(self, images: Iterable[tuple[str, int]], used: int) -> None:
        """Counts the values of image features that are not used; the feature used comes first."""
        for name, count in images:
            if count > used:
                self.passed_over.add(Cause.FURTHER_IMAGE, f"{self.path}#{name}", count - used)
            used = 0

    def _without_column(self, names: Iterable[str]) -> list[tuple[str, str]]:
        """The carried features that have no column, each with the name its column would have."""
        known = set(self.carried.names)
        named = ((name, self.features.column(name)) for name in names)
        return [(name, to) for name, to in named if to is not None and to not in known]

    def one_by_one(self, first: int, records: list[bytes]) -> list[pa.RecordBatch]:
        """Image records in which any record may be a reject: a batch for each run of images that
        are all encoded, or all raw with one shape."""
        rows = [self._row(number, data) for number, data in enumerate(records, first)]
        layouts: list[_Layout | None] = [row.layout for row in rows]
        runs: Iterator[tuple[_Layout | None, int, int]] = layout_runs(layouts)
        return [self._batch(rows[start:end], layout) for layout, start, end in runs]

    def _batch(self, rows: list[_Row], layout: _Layout | None) -> pa.RecordBatch:
        return image_records(
            ids=[row.identifier for row in rows],
            source=self.path,
            images=[row.image if self.images else None for row in rows],
            carried={
                field.name: pa.array([row.values.get(field.name) for row in rows], field.type)
                for field in self.carried
            },
            rejects=[row.reject for row in rows],
            image_metadata=raw_metadata(*layout) if layout else None,
        )

    def _row(self, number: int, data: bytes) -> _Row:
        given, image, layout, failure, values = None, None, None, None, dict[str, Any]()
        try:
            features = _parse(data)
            given = self._name(features)
            values = self._values(features)
            if given is None and self.features.needs_identifier:
                message = f"feature {self.features.identifier!r} is missing or empty"
                raise RecordError(Reason.NO_ID, message)
            image, layout = self._image(features)
            self._look_beyond(features)
        except RecordError as error:
            failure = error.at(Stage.READ)
        return _Row(given or f"{self.prefix}{number}", image, layout, values, failure)

    def _look_beyond(self, features: Any) -> None:
        names = self.features.of_images(features)
        counts = [(name, len(features[name].bytes_list.value)) for name in names]
        self._count_images([(name, count) for name, count in counts if count], 1)
        late = self._without_column(features)
        self.late.update(column for name, column in late if _scalar_type(features[name]))

    def _name(self, features: Any) -> str | None:
        """The record's id, if it has one: a text or, from an id feature given in the options, a
        number."""
        name = self.features.identifier
        if name not in features:
            return None
        if self.features.needs_identifier and (numbers := features[name].int64_list.value):
            return str(numbers[0])
        values = features[name].bytes_list.value
        return values[0].decode("utf-8", "backslashreplace") if values else None

    def _values(self, features: Any) -> dict[str, Any]:
        values = {}
        for name, feature in features.items():
            kind, column = _scalar_type(feature), self.features.column(name)
            if kind is None or column is None or column not in self.carried.names:
                continue
            expected = self.carried.field(column).type
            if kind != expected:
                raise RecordError(
                    Reason.SCHEMA_MISMATCH, f"{name} is of type {kind}, expected {expected}"
                )
            values[column] = _first(feature)
        return values

    def _image(self, features: Any) -> tuple[bytes, _Layout]:
        for name in self.features.images:
            if name not in features or not features[name].bytes_list.value:
                continue
            data = features[name].bytes_list.value[0]
            height, width, depth = (_side(features, names) for names in (HEIGHTS, WIDTHS, DEPTHS))
            may_be_raw = self.features.may_be_raw(name, features)
            if not may_be_raw or height is None or width is None or is_encoded(data):
                return data, ()
            return data, raw_shape(name, data, (height, width, depth))
        raise RecordError(Reason.NO_IMAGE, f"feature {self.features.images[0]!r} is missing")


class _UnusualError(Exception):
    """A batch contains a record that must be examined individually."""


def _decoded(records: list[bytes]) -> dict[str, pa.Array]:
    """(N,) lists of int64, float32 or binary for each feature that has a value in some record.

    Raises:
      RuntimeError: a record is not an example, or two disagree about a feature's type.
    """
    batch = ExamplesToRecordBatchDecoder().DecodeBatch(records)
    columns = zip(batch.schema.names, batch.columns, strict=True)
    return {name: column for name, column in columns if not pa.types.is_null(column.type)}


def _values_of_bytes(column: pa.Array) -> int:
    return len(column.flatten()) if pa.types.is_large_binary(column.type.value_type) else 0


def _has_scalar(column: pa.Array) -> bool:
    return bool(pc.any(pc.equal(column.value_lengths(), 1)).as_py())


def _only_values(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """(N,) lists of one text or image each → (N,) of `kind`, binary or string.

    Raises:
      _UnusualError: a list is missing, is empty, has several values or contains numbers.
      pa.ArrowInvalid: a text is not UTF-8.
    """
    values = column.flatten()
    if not pa.types.is_large_binary(values.type) or column.null_count:
        raise _UnusualError
    if pc.any(pc.not_equal(column.value_lengths(), 1)).as_py():
        raise _UnusualError
    return values.cast(kind)


def _scalars(column: pa.Array | None, kind: pa.DataType, rows: int) -> pa.Array:
    """(N,) lists → (N,) of `kind`, null where a list does not have exactly one value.

    Raises:
      _UnusualError: the values are of another type.
      pa.ArrowInvalid: a text is not UTF-8.
    """
    if column is None:
        return pa.nulls(rows, kind)
    stored = pa.large_binary() if kind == pa.string() else kind
    if column.values.type != stored:
        raise _UnusualError
    alone = pc.equal(column.value_lengths(), 1)
    if column.null_count or not pc.all(alone).as_py():
        starts = pc.if_else(alone, column.offsets[:-1], pa.scalar(None, pa.int64()))
        return column.values.take(starts).cast(kind)
    return column.flatten().cast(kind)


def _parse(data: bytes) -> Any:
    try:
        return tf.train.Example.FromString(data).features.feature
    except DecodeError as error:
        raise RecordError(Reason.UNREADABLE, f"not a tf.Example: {error}") from error


def _side(features: Any, names: tuple[str, ...]) -> int | None:
    """The value of the first of the features that has a whole number."""
    for name in names:
        if name in features and (values := features[name].int64_list.value):
            return values[0]
    return None


def _scalar_type(feature: Any) -> pa.DataType | None:
    """The column type of a scalar feature; None for other features."""
    kind = feature.WhichOneof("kind")
    values = getattr(feature, kind).value if kind else ()
    return _ARROW_TYPES[kind] if len(values) == 1 else None


def _first(feature: Any) -> Any:
    value = getattr(feature, feature.WhichOneof("kind")).value[0]
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
