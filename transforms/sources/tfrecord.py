"""TFRecord files of `tf.train.Example`."""

import dataclasses
import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import google_crc32c
import pyarrow as pa
import tensorflow as tf
from google.protobuf.message import DecodeError

from ae_models.errors import InputError
from transforms.batches import BatchLimits, carried_name, image_records
from transforms.files import list_files, open_decompressed
from transforms.rejects import Reason, RecordError, Stage, rejected_records
from transforms.sources.source import Listing, Source, first_schema

_ID_FEATURE = "image/filename"
_IMAGE_FEATURES = ("image/encoded", "image")
_LABEL_FEATURE = "image/class/label"
_RECORDS_THAT_TELL_COLUMNS = 100
_LENGTH_BYTES, _CRC_BYTES = 8, 4
_ARROW_TYPES = {"bytes_list": pa.string(), "int64_list": pa.int64(), "float_list": pa.float32()}
_READ_ERRORS = (OSError, EOFError, zlib.error)


@dataclasses.dataclass(frozen=True)
class TFRecordFiles(Source):
    """The record id is the feature `image/filename`, else `FILE#N`; images are `image/encoded`
    (or `image`); `image/class/label` becomes `label`, other scalar features keep their names.

    Columns are those of the first file's first 100 records. A task is one file.
    """

    def listings(self) -> Iterator[Listing]:
        for path in list_files(self.uri):
            yield Listing(path)

    def read(self, task: str, limits: BatchLimits, images: bool = True) -> Iterator[pa.RecordBatch]:
        carried = self.carried()
        rows = _Rows(self, task, carried, images)
        try:
            with open_decompressed(task) as file:
                for number, data in enumerate(_records(file)):
                    rows.add(number, data)
                    if rows.full(limits):
                        yield rows.take()
        except (RecordError, *_READ_ERRORS) as error:
            reason = error.reason if isinstance(error, RecordError) else Reason.UNREADABLE
            if rows.ids:
                yield rows.take()
            # What follows damage has no known beginning.
            rest = f"{self.relative(task)}#{rows.taken}"
            yield rejected_records([rest], task, reason, f"from record {rows.taken} on: {error}")
        if rows.ids:
            yield rows.take()

    def carried(self) -> pa.Schema:
        return first_schema(list_files(self.uri), _carried)


def _carried(path: str) -> pa.Schema:
    fields: dict[str, pa.DataType] = {}
    try:
        with open_decompressed(path) as file:
            for data in itertools.islice(_records(file), _RECORDS_THAT_TELL_COLUMNS):
                for name, feature in _parse(data).items():
                    if kind := _scalar_type(name, feature):
                        fields.setdefault(_column(name), kind)
    except (RecordError, *_READ_ERRORS) as error:
        if not fields:
            raise InputError(f"{path} is no TFRecord file of tf.Example: {error}") from error
    return pa.schema(sorted(fields.items()))


class _Rows:
    """The records read so far, not yet given out as a batch."""

    def __init__(self, source: TFRecordFiles, path: str, carried: pa.Schema, images: bool):
        self._source, self._path, self._carried, self._with_images = source, path, carried, images
        self.taken = 0
        self._reset()

    def _reset(self) -> None:
        self.ids: list[str] = []
        self._images: list[bytes | None] = []
        self._rejects: list[dict[str, str] | None] = []
        self._columns: dict[str, list] = {name: [] for name in self._carried.names}
        self._bytes = 0

    def add(self, number: int, data: bytes) -> None:
        given, image, failure, values = None, None, None, dict[str, Any]()
        try:
            features = _parse(data)
            given = _name(features)
            values = self._values(features)
            image = _image(features)
        except RecordError as error:
            failure = error.at(Stage.READ)
        self.ids.append(given or f"{self._source.relative(self._path)}#{number}")
        self._images.append(image if self._with_images else None)
        self._rejects.append(failure)
        for name, column in self._columns.items():
            column.append(values.get(name))
        self._bytes += len(image or b"")

    def _values(self, features: Any) -> dict[str, Any]:
        values = {}
        for name, feature in features.items():
            kind, column = _scalar_type(name, feature), _column(name)
            if kind is None or column not in self._columns:
                continue
            expected = self._carried.field(column).type
            if kind != expected:
                raise RecordError(
                    Reason.SCHEMA_MISMATCH, f"{name} is of type {kind}, elsewhere of {expected}"
                )
            values[column] = _first(feature)
        return values

    def full(self, limits: BatchLimits) -> bool:
        return len(self.ids) >= limits.rows or self._bytes >= limits.image_bytes

    def take(self) -> pa.RecordBatch:
        batch = image_records(
            ids=self.ids,
            source=self._path,
            images=self._images,
            carried={
                field.name: pa.array(self._columns[field.name], field.type)
                for field in self._carried
            },
            rejects=self._rejects,
        )
        self.taken += len(self.ids)
        self._reset()
        return batch


def _records(file: BinaryIO) -> Iterator[bytes]:
    """The records of a TFRecord file: length, its CRC, data, its CRC (tensorflow/core/lib/io)."""
    while head := file.read(_LENGTH_BYTES + _CRC_BYTES):
        length = struct.unpack("<Q", _checked(head, _LENGTH_BYTES, "length"))[0]
        yield _checked(file.read(length + _CRC_BYTES), length, "data")


def _checked(block: bytes, size: int, what: str) -> bytes:
    if len(block) < size + _CRC_BYTES:
        raise RecordError(Reason.UNREADABLE, "the file is cut short")
    data, expected = block[:size], struct.unpack("<I", block[size:])[0]
    crc = google_crc32c.value(data)
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    if masked != expected:
        raise RecordError(Reason.UNREADABLE, f"the checksum of a record's {what} is wrong")
    return data


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
