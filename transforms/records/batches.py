"""The element of every PCollection: a `pa.RecordBatch` with a bounded number of rows.

A batch of image records has the columns `id`, `source`, the carried ones, `image` and `reject`.
A record that fails at any stage keeps its row: its `image` becomes null and `reject` states why,
so no stage can lose a record.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa

from ae_models.config.validated import check_range
from transforms.records.text import printable

ID, SOURCE, IMAGE, REJECT = "id", "source", "image", "reject"
TARGET = "target"  # in decoded pairs: what `image` should become
STORED = "_stored"  # of decoded images: width, height and EXIF orientation in their files
STORED_TYPE = pa.list_(pa.int32(), 3)
# Columns of scored records that will be written to separate tables.
REGIONS, MAP, TILES = "_regions", "_map", "_tiles"
# In rows of maps: the bytes of PNG files, later the files' names, and then also their digests.
PICTURE_COLUMNS, DIGEST_COLUMNS = ("map_file", "overlay_file"), ("map_sha256", "overlay_sha256")
REJECT_TYPE = pa.struct([("stage", pa.string()), ("reason", pa.string()), ("message", pa.string())])
_RESERVED = {
    *(ID, SOURCE, IMAGE, REJECT, STORED, REGIONS, MAP, TILES),
    *("latent_mean", "latent_stddev", "score", "p_value", "is_anomaly", "model", "error_map"),
    *("stage", "reason", "message"),
}


@dataclasses.dataclass(frozen=True)
class BatchLimits:
    """Maximum rows and bytes of images per batch, and `record_bytes`, the maximum bytes of one
    record, encoded or raw: a larger record is a reject and never read entirely.

    Raises:
      ConfigError: one of them is not a whole number, or is less than 1.
    """

    rows: int = 8192
    image_bytes: int = 8 << 20
    record_bytes: int = 256 << 20

    def __post_init__(self) -> None:
        check_range(1, **vars(self))


class RecordBatchCoder(beam.coders.Coder):
    """Arrow IPC. Pickle, Beam's fallback, would write the entire buffer of which a batch is a
    slice."""

    def encode(self, value: pa.RecordBatch) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as writer:
            writer.write_batch(value)
        return sink.getvalue().to_pybytes()

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        with pa.ipc.open_stream(pa.py_buffer(encoded)) as reader:
            return reader.read_next_batch()

    def is_deterministic(self) -> bool:
        return True


beam.coders.registry.register_coder(pa.RecordBatch, RecordBatchCoder)


def carried_name(name: str) -> str:
    """The output name of a carried column: a name that would clash with ours gets `input_`."""
    return f"input_{name}" if name in _RESERVED or name.startswith("score_") else name


def image_schema(carried: pa.Schema, image: pa.Field) -> pa.Schema:
    """The schema of image records; `carried` must already have the output names."""
    return pa.schema(
        [
            pa.field(ID, pa.string(), nullable=False),
            pa.field(SOURCE, pa.string(), nullable=False),
            *carried,
            image.with_name(IMAGE),
            pa.field(REJECT, REJECT_TYPE),
        ]
    )


def image_records(
    ids: pa.Array | Sequence[str],
    source: pa.Array | Sequence[str] | str,
    images: pa.Array | Sequence[bytes | None],
    *,
    carried: Mapping[str, pa.Array] | None = None,
    rejects: Sequence[dict[str, str] | None] | None = None,
    image_metadata: Mapping[str, str] | None = None,
) -> pa.RecordBatch:
    """A batch of image records.

    Args:
      ids: (N,) record ids.
      source: the file of each record, or one file for all of them.
      images: (N,) encoded or raw bytes, null for a rejected record.
      carried: further columns, by output name.
      rejects: (N,) the `reject` of each record, None for good records.
      image_metadata: for raw pixels, their shape and type (`pixels.raw_metadata`).
    """
    ids = ids if isinstance(ids, pa.Array) else pa.array(ids, pa.string())
    if isinstance(source, str):
        source = pa.repeat(pa.scalar(printable(source), pa.string()), len(ids))
    elif not isinstance(source, pa.Array):
        source = pa.array(map(printable, source), pa.string())
    images = images if isinstance(images, pa.Array) else pa.array(images, pa.binary())
    reject_column = (
        pa.nulls(len(ids), REJECT_TYPE) if rejects is None else pa.array(rejects, REJECT_TYPE)
    )
    carried = dict(carried or {})
    fields = [pa.field(name, column.type) for name, column in carried.items()]
    schema = image_schema(pa.schema(fields), pa.field(IMAGE, images.type, metadata=image_metadata))
    columns = [ids, source, *carried.values(), images, reject_column]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def with_column(
    batch: pa.RecordBatch, name: str, column: pa.Array, metadata: Any = None
) -> pa.RecordBatch:
    """`batch` with the column `name` replaced, in the same position."""
    index = batch.schema.get_field_index(name)
    return batch.set_column(index, pa.field(name, column.type, metadata=metadata), column)


def bounded_slices(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    """The batch in slices of at most `rows` rows."""
    for start in range(0, len(batch), rows):
        yield batch.slice(start, rows)


def carried_columns(schema: pa.Schema) -> list[str]:
    """The names of the carried columns of image records."""
    return [name for name in schema.names if name not in (ID, SOURCE, IMAGE, REJECT)]


def conform(batch: pa.RecordBatch, carried: pa.Schema) -> pa.RecordBatch:
    """Image records with exactly the carried columns of the run: missing ones null, types cast.

    Raises:
      pa.ArrowInvalid, pa.ArrowNotImplementedError: a column cannot be cast.
    """
    present = carried_columns(batch.schema)
    if batch.schema.equals(image_schema(carried, batch.schema.field(IMAGE))):
        return batch
    columns = {
        field.name: batch.column(field.name).cast(field.type)
        if field.name in present
        else pa.nulls(len(batch), field.type)
        for field in carried
    }
    schema = image_schema(carried, batch.schema.field(IMAGE))
    arrays = [
        batch.column(ID),
        batch.column(SOURCE),
        *columns.values(),
        batch.column(IMAGE),
        batch.column(REJECT),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
