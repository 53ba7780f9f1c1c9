"""Converts record batches to Beam rows with a schema, as Beam's row-wise transforms need, and back.

Only portable types are used: str, bool, int64, float64, bytes and lists of these. An image row has
`id`, `source`, the carried columns, `image` (encoded or, if `image_shape` and `image_dtype` are
given, raw pixels) and `reject`, null for a good record. Only `id` and `image` are required.
"""

import collections
import functools
import itertools
import json
import keyword
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Optional

import apache_beam as beam
import pyarrow as pa
from apache_beam.portability.api import schema_pb2
from apache_beam.pvalue import PCollection
from apache_beam.typehints.arrow_type_compatibility import arrow_schema_from_beam_schema
from apache_beam.typehints.row_type import RowTypeConstraint
from apache_beam.typehints.schemas import schema_from_element_type
from apache_beam.utils.windowed_value import WindowedValue

from ae_models.errors import ConfigError
from transforms.records.batches import (
    ID,
    IMAGE,
    REJECT,
    REJECT_TYPE,
    SOURCE,
    BatchLimits,
    carried_columns,
    carried_name,
    image_records,
)
from transforms.records.pixels import raw_layout

SHAPE, DTYPE = "image_shape", "image_dtype"  # for raw pixels
_IMAGE_FIELDS = (ID, SOURCE, IMAGE, SHAPE, DTYPE, REJECT)
_IMAGE_ROW = [
    pa.field(IMAGE, pa.binary()),
    pa.field(SHAPE, pa.list_(pa.int64())),
    pa.field(DTYPE, pa.string()),
    pa.field(REJECT, REJECT_TYPE),
]
_PYTHON_TYPES = {
    pa.string(): str,
    pa.bool_(): bool,
    pa.int64(): int,
    pa.float64(): float,
    pa.binary(): bytes,
}
_PORTABLE = {  # the first match is used; uint64 comes after the smaller integers
    pa.bool_(): [pa.types.is_boolean],
    pa.int64(): [lambda kind: pa.types.is_integer(kind) and kind != pa.uint64()],
    pa.float64(): [pa.types.is_floating],
    pa.binary(): [pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary],
    pa.string(): [
        *(pa.types.is_string, pa.types.is_large_string),
        *(pa.types.is_temporal, pa.types.is_decimal, pa.types.is_integer),
    ],
}
_LOGGER = logging.getLogger(__name__)


def portable_type(kind: pa.DataType) -> pa.DataType | None:
    """The portable type that can represent all values of `kind`, with times and decimals as text;
    None if there is none."""
    checks = pa.types
    if checks.is_dictionary(kind):
        return portable_type(kind.value_type)
    if any(
        check(kind) for check in (checks.is_list, checks.is_large_list, checks.is_fixed_size_list)
    ):
        item = portable_type(kind.value_type)
        return None if item is None else pa.list_(item)
    for portable, tests in _PORTABLE.items():
        if any(test(kind) for test in tests):
            return portable
    return None


def portable_schema(schema: pa.Schema) -> pa.Schema:
    """The fields in portable types; fields without one are dropped, with a warning."""
    fields = []
    for field in schema:
        kind = field.type if field.type == REJECT_TYPE else portable_type(field.type)
        if kind is None:
            _LOGGER.warning("column %r is dropped: rows do not support %s", field.name, field.type)
        else:
            fields.append(pa.field(field.name, kind, field.nullable))
    return pa.schema(fields)


def image_row_schema(carried: pa.Schema) -> pa.Schema:
    """The schema of image rows with these carried columns."""
    fields = [pa.field(ID, pa.string(), False), pa.field(SOURCE, pa.string(), False)]
    names = field_names(carried.names)
    renamed = [field.with_name(names[field.name]) for field in portable_schema(carried)]
    return pa.schema([*fields, *renamed, *_IMAGE_ROW])


def field_names(columns: Iterable[str]) -> dict[str, str]:
    """A name for each column that rows, whose fields are attributes, can have: `image/height`
    becomes `image_height`."""
    names: dict[str, str] = {}
    for column in columns:
        name = re.sub(r"\W", "_", column)
        if keyword.iskeyword(name) or not name.isidentifier() or name.startswith("_"):
            name = f"input_{name.lstrip('_')}"
        while name in (*_IMAGE_FIELDS, *names.values()):
            name = f"input_{name}"
        names[column] = name
    return names


def row_type(schema: pa.Schema) -> RowTypeConstraint:
    """Beam's type for rows with the fields of a portable schema."""
    return RowTypeConstraint.from_fields([(field.name, _field_type(field)) for field in schema])


def _field_type(field: pa.Field) -> Any:
    kind = _python_type(field.type)
    return Optional[kind] if field.nullable else kind  # noqa: UP045 (`kind` may not be a class)


def _python_type(kind: pa.DataType) -> Any:
    if pa.types.is_struct(kind):
        return row_type(pa.schema(list(kind)))
    if pa.types.is_list(kind):
        return Sequence[_python_type(kind.value_type)]  # type: ignore[misc]
    return _PYTHON_TYPES[kind]


def rows_of(batch: pa.RecordBatch, schema: pa.Schema) -> list[beam.Row]:
    """The records as rows with the fields of a portable schema."""
    columns = [batch.column(field.name).cast(field.type).to_pylist() for field in schema]
    values = (map(_row_value, row) for row in zip(*columns, strict=True))
    return [beam.Row(**dict(zip(schema.names, row, strict=True))) for row in values]


def _row_value(value: Any) -> Any:
    return beam.Row(**value) if isinstance(value, dict) else value


def image_rows(batch: pa.RecordBatch, schema: pa.Schema) -> list[beam.Row]:
    """Image records as image rows with the fields of an `image_row_schema`."""
    layout = raw_layout(batch.schema.field(IMAGE).metadata)
    shape, dtype = (None, None) if layout is None else (list(layout[0]), str(layout[1]))
    columns = {ID: batch.column(ID), SOURCE: batch.column(SOURCE)}
    for column, name in field_names(carried_columns(batch.schema)).items():
        columns[name] = batch.column(column)
    columns[IMAGE] = batch.column(IMAGE)
    columns[SHAPE] = pa.array([shape] * len(batch), pa.list_(pa.int64()))
    columns[DTYPE] = pa.array([dtype] * len(batch), pa.string())
    columns[REJECT] = batch.column(REJECT)
    return rows_of(pa.RecordBatch.from_pydict(columns), schema)


def schema_of_rows(element_type: Any) -> pa.Schema:
    """The portable schema of a PCollection's rows.

    Raises:
      ConfigError: the elements are not rows with a schema.
    """
    try:
        schema = schema_from_element_type(element_type)
    except TypeError as error:
        raise ConfigError(f"expected rows with a schema. Received: {element_type}") from error
    fields = []
    for field in schema.fields:
        try:
            fields += list(arrow_schema_from_beam_schema(schema_pb2.Schema(fields=[field])))
        except (ValueError, NotImplementedError):  # logical types, including `Any`
            _LOGGER.warning("field %r is dropped: Arrow has no type for it", field.name)
    return portable_schema(pa.schema(fields))


def carried_fields(schema: pa.Schema) -> pa.Schema:
    """The carried fields of image rows, by their original names.

    Raises:
      ConfigError: the rows have no `id` or no `image`, or one has another type.
    """
    for name, kind in ((ID, pa.string()), (IMAGE, pa.binary())):
        if name not in schema.names or schema.field(name).type != kind:
            found = schema.field(name).type if name in schema.names else "none"
            raise ConfigError(f"image rows need a field {name!r} of type {kind}. Received: {found}")
    return pa.schema([field for field in schema if field.name not in _IMAGE_FIELDS])


def image_batches(rows: Iterable[Any], carried: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Image rows as image records in the same order, a batch for each run of one layout.

    Args:
      rows: objects of any class that has the fields as attributes.
      carried: `carried_fields` of their schema.
    """
    for (shape, dtype), group in itertools.groupby(rows, key=_layout):
        part = list(group)
        columns = {carried_name(field.name): _column(part, field) for field in carried}
        metadata = None if shape is None else {"shape": json.dumps(shape), "dtype": str(dtype)}
        yield image_records(
            [getattr(row, ID, "") for row in part],
            [getattr(row, SOURCE, None) or "" for row in part],
            [row.image for row in part],
            carried=columns,
            rejects=[_plain(getattr(row, REJECT, None)) for row in part],
            image_metadata=metadata,
        )


def _layout(row: Any) -> tuple[tuple[int, ...] | None, str | None]:
    shape, dtype = getattr(row, SHAPE, None), getattr(row, DTYPE, None)
    return (None, None) if shape is None else (tuple(map(int, shape)), dtype or "uint8")


def _batches(rows: Sequence[Any], schema: pa.Schema) -> list[pa.RecordBatch]:
    return [pa.RecordBatch.from_arrays([_column(rows, field) for field in schema], schema=schema)]


def _column(rows: Sequence[Any], field: pa.Field) -> pa.Array:
    return pa.array([_plain(getattr(row, field.name)) for row in rows], field.type)


def _plain(value: Any) -> Any:
    """A nested row as a mapping, which Arrow accepts as a struct."""
    return dict(value._asdict()) if hasattr(value, "_asdict") else value


class ImageRows(beam.PTransform):
    """Image records → image rows.

    Args:
      carried: the carried columns of the records.
    """

    def __init__(self, carried: pa.Schema):
        super().__init__()
        self._schema = image_row_schema(carried)

    def expand(self, records: PCollection[pa.RecordBatch]) -> PCollection[beam.Row]:
        return records | beam.FlatMap(image_rows, self._schema).with_output_types(
            row_type(self._schema)
        )


class Rows(beam.PTransform):
    """Record batches → rows with the fields of a portable schema, which the batches must have."""

    def __init__(self, schema: pa.Schema):
        super().__init__()
        self._schema = schema

    def expand(self, batches: PCollection[pa.RecordBatch]) -> PCollection[beam.Row]:
        return batches | beam.FlatMap(rows_of, self._schema).with_output_types(
            row_type(self._schema)
        )


class _Gather(beam.DoFn):
    """Rows → record batches of bounded size, each within one Beam bundle and one window."""

    def __init__(
        self,
        to_batches: Callable[[list[Any]], Iterable[pa.RecordBatch]],
        limits: BatchLimits,
    ):
        self._to_batches, self._limits = to_batches, limits

    def start_bundle(self) -> None:
        self._rows: dict[Any, list[Any]] = collections.defaultdict(list)
        self._count = self._bytes = 0

    def process(self, row: Any, window: Any = beam.DoFn.WindowParam) -> Iterable[WindowedValue]:
        self._rows[window].append(row)
        self._count += 1
        self._bytes += len(getattr(row, IMAGE, None) or b"")
        if self._count >= self._limits.rows or self._bytes >= self._limits.image_bytes:
            yield from self.finish_bundle()
            self.start_bundle()

    def finish_bundle(self) -> Iterable[WindowedValue]:
        for window, rows in self._rows.items():
            for batch in self._to_batches(rows):
                yield WindowedValue(batch, window.max_timestamp(), (window,))


class ImagesFromRows(beam.PTransform):
    """Image rows → image records, in batches.

    Raises:
      ConfigError: the elements are not image rows.
    """

    def __init__(self, limits: BatchLimits | None = None):
        super().__init__()
        self._limits = limits or BatchLimits()

    def expand(self, rows: PCollection[Any]) -> PCollection[pa.RecordBatch]:
        carried = carried_fields(schema_of_rows(rows.element_type))
        return rows | beam.ParDo(
            _Gather(functools.partial(image_batches, carried=carried), self._limits)
        ).with_output_types(pa.RecordBatch)


class BatchesFromRows(beam.PTransform):
    """Rows → record batches with the same fields.

    Raises:
      ConfigError: the elements are not rows with a schema.
    """

    def expand(self, rows: PCollection[Any]) -> PCollection[pa.RecordBatch]:
        schema = schema_of_rows(rows.element_type)
        return rows | beam.ParDo(
            _Gather(functools.partial(_batches, schema=schema), BatchLimits())
        ).with_output_types(pa.RecordBatch)
