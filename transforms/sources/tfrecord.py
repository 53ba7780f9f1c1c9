"""TFRecord files of `tf.train.Example`."""

import contextlib
import dataclasses
import functools
import itertools
import os
from collections.abc import Generator, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from ae_models.errors import InputError
from transforms.records.batches import BatchLimits, carried_name, image_records
from transforms.records.rejects import Reason, RecordError, Stage, rejected_records
from transforms.sources.array_records import numbered_ids
from transforms.sources.recovery.record_file import Damage, record_batches
from transforms.sources.source import Listing, Source, first_schema
from transforms.storage.files import list_files

_ID_FEATURE = "image/filename"
_IMAGE_FEATURES = ("image/encoded", "image")
_LABEL_FEATURE = "image/class/label"
_RECORDS_THAT_TELL_COLUMNS = 100
_ARROW_TYPES = {"bytes_list": pa.string(), "int64_list": pa.int64(), "float_list": pa.float32()}


@dataclasses.dataclass(frozen=True)
class TFRecordFiles(Source):
    """The record id is the feature `image/filename`, else `FILE#N`; images are `image/encoded`
    (or `image`); `image/class/label` becomes `label`, other scalar features keep their names.

    Columns are those of the first file's first 100 records. A task is one file. Records that were
    lost together, where their number is not known, are one reject and take one number.
    """

    def listings(self) -> Iterator[Listing]:
        for path in list_files(self.uri):
            yield Listing(os.fsencode(path))  # text would have to be Unicode

    def paths(self, task: bytes) -> list[str]:
        return [os.fsdecode(task)]

    def read(
        self, task: bytes, limits: BatchLimits, images: bool = True
    ) -> Iterator[pa.RecordBatch]:
        path = os.fsdecode(task)
        number, prefix = 0, f"{self.relative(path)}#"
        rows = ExampleRows(path, prefix, self.carried(), images)
        for records in record_batches(path, limits):
            if isinstance(records, Damage):  # as many records as there may have been count as one
                ids = [f"{prefix}{number}"]
                yield rejected_records(ids, path, records.reason, records.message)
                number += 1
            else:
                yield rows.columnar(number, records) or rows.one_by_one(number, records)
                number += len(records)

    def carried(self) -> pa.Schema:
        return self._columns

    @functools.cached_property
    def _columns(self) -> pa.Schema:
        """Looked up once: workers get it with the source that they are sent."""
        return first_schema(list_files(self.uri), _carried)


def _carried(path: str) -> pa.Schema:
    fields: dict[str, pa.DataType] = {}
    failure, found = None, False
    with contextlib.closing(_examples(path)) as examples:
        for features in itertools.islice(examples, _RECORDS_THAT_TELL_COLUMNS):
            if isinstance(features, Damage):
                failure = failure or features
                continue
            found = True
            for name, feature in features.items():
                if kind := _scalar_type(name, feature):
                    fields.setdefault(_column(name), kind)
    if failure and not found:
        raise InputError(f"{path} is no TFRecord file of tf.Example: {failure.message}")
    return pa.schema(sorted(fields.items()))


def _examples(path: str) -> Generator[Any | Damage]:
    """The features of each record, or why there are none."""
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


@dataclasses.dataclass(frozen=True)
class ExampleRows:
    """Image records from serialised examples of one file, by either of two ways.

    Args:
      path: the file.
      prefix: of the id of a record without one of its own; the number follows.
      carried: the source's columns.
      images: whether images are wanted.
    """

    path: str
    prefix: str
    carried: pa.Schema
    images: bool

    def columnar(self, first: int, records: list[bytes]) -> pa.RecordBatch | None:
        """What `one_by_one` gives, without an object a record; None where some record is unusual:
        only that way can tell which, and why."""
        try:
            features = _decoded(records)
            columns = _by_column(features)
            encoded = _only_values(_image_column(features), pa.binary())
            return image_records(
                ids=self._ids(features, first, len(records)),
                source=self.path,
                images=encoded if self.images else pa.nulls(len(records), pa.binary()),
                carried={
                    field.name: _scalars(columns.get(field.name), field.type, len(records))
                    for field in self.carried
                },
            )
        except (_UnusualError, RuntimeError, pa.ArrowInvalid):  # the second is the decoder's
            return None

    def _ids(self, features: dict[str, pa.Array], first: int, count: int) -> pa.Array:
        if _ID_FEATURE not in features:
            return numbered_ids(self.prefix, first, count)
        ids = _only_values(features[_ID_FEATURE], pa.string())
        if pc.min(pc.binary_length(ids)).as_py() == 0:
            raise _UnusualError
        return ids

    def one_by_one(self, first: int, records: list[bytes]) -> pa.RecordBatch:
        """Image records with all that may be wrong with one of them."""
        rows = [self._row(number, data) for number, data in enumerate(records, first)]
        ids, images, values, rejects = zip(*rows, strict=True)
        return image_records(
            ids=ids,
            source=self.path,
            images=images,
            carried={
                field.name: pa.array([value.get(field.name) for value in values], field.type)
                for field in self.carried
            },
            rejects=rejects,
        )

    def _row(
        self, number: int, data: bytes
    ) -> tuple[str, bytes | None, dict[str, Any], dict[str, str] | None]:
        given, image, failure, values = None, None, None, dict[str, Any]()
        try:
            features = _parse(data)
            given = _name(features)
            values = self._values(features)
            image = _image(features)
        except RecordError as error:
            failure = error.at(Stage.READ)
        return given or f"{self.prefix}{number}", image if self.images else None, values, failure

    def _values(self, features: Any) -> dict[str, Any]:
        values = {}
        for name, feature in features.items():
            kind, column = _scalar_type(name, feature), _column(name)
            if kind is None or column not in self.carried.names:
                continue
            expected = self.carried.field(column).type
            if kind != expected:
                raise RecordError(
                    Reason.SCHEMA_MISMATCH, f"{name} is of type {kind}, elsewhere of {expected}"
                )
            values[column] = _first(feature)
        return values


class _UnusualError(Exception):
    """A batch has a record that must be looked at by itself."""


def _decoded(records: list[bytes]) -> dict[str, pa.Array]:
    """(N,) lists of int64, float32 or binary for each feature that has a value somewhere.

    Raises:
      RuntimeError: a record is no example, or two disagree about a feature's type.
    """
    batch = ExamplesToRecordBatchDecoder().DecodeBatch(records)
    columns = zip(batch.schema.names, batch.columns, strict=True)
    return {name: column for name, column in columns if not pa.types.is_null(column.type)}


def _by_column(features: dict[str, pa.Array]) -> dict[str, pa.Array]:
    """The features that are neither id nor image, by output name."""
    others = [name for name in features if name not in (_ID_FEATURE, *_IMAGE_FEATURES)]
    columns = {_column(name): features[name] for name in others}
    if len(columns) < len(others):
        raise _UnusualError
    return columns


def _image_column(features: dict[str, pa.Array]) -> pa.Array:
    for name in _IMAGE_FEATURES:
        if name in features:
            return features[name]
    raise _UnusualError


def _only_values(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """(N,) lists of one text or image each → (N,) of `kind`, binary or string.

    Raises:
      _UnusualError: a list is missing, is empty or has several values, or these are numbers.
      pa.ArrowInvalid: a text is no UTF-8.
    """
    values = column.flatten()
    if not pa.types.is_large_binary(values.type) or column.null_count:
        raise _UnusualError
    if pc.any(pc.not_equal(column.value_lengths(), 1)).as_py():
        raise _UnusualError
    return values.cast(kind)


def _scalars(column: pa.Array | None, kind: pa.DataType, rows: int) -> pa.Array:
    """(N,) lists → (N,) of `kind`, null where a list has not exactly one value.

    Raises:
      _UnusualError: the values are of another type.
      pa.ArrowInvalid: a text is no UTF-8.
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
        raise RecordError(Reason.UNREADABLE, f"no tf.Example: {error}") from error


def _image(features: Any) -> bytes:
    for name in _IMAGE_FEATURES:
        if name in features and features[name].bytes_list.value:
            return features[name].bytes_list.value[0]
    raise RecordError(Reason.NO_IMAGE, f"no feature {_IMAGE_FEATURES[0]!r}")


def _name(features: Any) -> str | None:
    """The record's own id, if it has one that is a text."""
    values = features[_ID_FEATURE].bytes_list.value if _ID_FEATURE in features else ()
    return values[0].decode("utf-8", "backslashreplace") if values else None


def _column(name: str) -> str:
    return "label" if name == _LABEL_FEATURE else carried_name(name)


def _scalar_type(name: str, feature: Any) -> pa.DataType | None:
    """The column type of a scalar feature that is carried, else None."""
    if name == _ID_FEATURE or name in _IMAGE_FEATURES:
        return None
    kind = feature.WhichOneof("kind")
    values = getattr(feature, kind).value if kind else ()
    return _ARROW_TYPES[kind] if len(values) == 1 else None


def _first(feature: Any) -> Any:
    value = getattr(feature, feature.WhichOneof("kind")).value[0]
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
