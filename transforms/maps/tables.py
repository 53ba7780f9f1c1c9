"""Rows that locate anomalies in records: regions, maps and tiles."""

from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.images.orientation import Stored
from transforms.maps.pictures import MapPictures, Shades
from transforms.maps.placement import Placement
from transforms.maps.regions import Region
from transforms.records.batches import (
    DIGEST_COLUMNS,
    ID,
    MAP,
    PICTURE_COLUMNS,
    REGIONS,
    SOURCE,
    STORED,
    TILES,
    carried_name,
)

_OF_IMAGE = ("image_width", "image_height", "orientation")
_MODEL = "model"
_OF_REGION = [
    pa.field("x", pa.int32()),
    pa.field("y", pa.int32()),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    pa.field("area", pa.int64()),
    pa.field("peak", pa.float32()),
    pa.field("mean", pa.float32()),
    pa.field("p_value", pa.float64()),
]
_OF_MAP = [
    pa.field("map_width", pa.int32()),
    pa.field("map_height", pa.int32()),
    pa.field("scale_x", pa.float32()),
    pa.field("scale_y", pa.float32()),
    pa.field("map", pa.list_(pa.float16())),
]
_OF_FILES = (*PICTURE_COLUMNS, *DIGEST_COLUMNS)  # reserved in maps, with or without pictures
_OF_PICTURE = [
    *_OF_MAP[:4],
    pa.field("value_at_black", pa.float32()),
    pa.field("value_per_level", pa.float32()),
    *(pa.field(name, pa.binary()) for name in PICTURE_COLUMNS),
]
_REGIONS_TYPE = pa.list_(pa.struct(_OF_REGION))
_EMPTY = np.zeros((0, 0), np.float16)
_GREATEST = float(np.finfo(np.float16).max)


def regions_column(regions: Sequence[Sequence[Region]], p_values: Sequence[np.ndarray]) -> pa.Array:
    """(N,) lists of each record's regions, with their p-values."""
    rows = [
        [{**region._asdict(), "p_value": p} for region, p in zip(found, own, strict=True)]
        for found, own in zip(regions, p_values, strict=True)
    ]
    return pa.array(rows, _REGIONS_TYPE)


def map_column(maps: Sequence[np.ndarray | None], placements: Sequence[Placement]) -> pa.Array:
    """(N,) maps (h, w) of images as stored, in half floats; null for records without one."""
    halves = [_EMPTY if own is None else _halves(own) for own in maps]
    ends = np.cumsum([0, *(own.size for own in halves)])
    parts = [own.reshape(-1) for own in halves]
    flat = parts[0] if len(parts) == 1 else np.concatenate([_EMPTY.reshape(-1), *parts])
    values = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(flat))
    columns = {**_sizes_of_maps([own.shape for own in halves], placements), "map": values}
    return _structs(columns, _OF_MAP, maps)


def picture_column(
    pictures: Sequence[MapPictures | None], placements: Sequence[Placement], shades: Shades
) -> pa.Array:
    """(N,) maps as the bytes of PNG files in these shades; null for records without one."""
    sizes = [(0, 0) if own is None else own.size for own in pictures]
    files = [(None, None) if own is None else (own.map, own.overlay) for own in pictures]
    columns = {
        **_sizes_of_maps(sizes, placements),
        "value_at_black": pa.array([shades.black] * len(pictures), pa.float32()),
        "value_per_level": pa.array([shades.per_level] * len(pictures), pa.float32()),
        **{
            name: pa.array([own[place] for own in files], pa.binary())
            for place, name in enumerate(PICTURE_COLUMNS)
        },
    }
    return _structs(columns, _OF_PICTURE, pictures)


def _sizes_of_maps(
    shapes: Sequence[tuple[int, ...]], placements: Sequence[Placement]
) -> dict[str, pa.Array]:
    """Columns with the sizes of maps (h, w), and with the width and height of their places in
    pixels of the image."""
    sizes = np.array(shapes, np.int32).reshape(-1, 2)
    stored = np.array([own.stored[:2] for own in placements], np.float32).reshape(-1, 2)
    scale = (stored / np.maximum(sizes[:, ::-1], 1)).astype(np.float32)
    return {
        "map_width": pa.array(sizes[:, 1]),
        "map_height": pa.array(sizes[:, 0]),
        "scale_x": pa.array(scale[:, 0]),
        "scale_y": pa.array(scale[:, 1]),
    }


def _structs(
    columns: dict[str, pa.Array], fields: list[pa.Field], known: Sequence[object | None]
) -> pa.StructArray:
    missing = pa.array([own is None for own in known], pa.bool_())
    arrays = [columns[field.name] for field in fields]
    return pa.StructArray.from_arrays(arrays, fields=fields, mask=missing)


def _halves(places: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # overflow becomes the greatest half float
        halves = places.astype(np.float16)
    return np.clip(halves, -_GREATEST, _GREATEST, out=halves)


def region_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The regions of scored records, one per row."""
    return _flat_rows(batch, batch.column(REGIONS))


def map_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The maps of the scored records that have one."""
    records = batch.filter(batch.column(MAP).is_valid())
    return _rows(records, records.column(MAP), _OF_FILES)


def tile_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The tiles of scored records, one per row."""
    return _flat_rows(batch, batch.column(TILES))


def _flat_rows(batch: pa.RecordBatch, lists: pa.ListArray) -> pa.RecordBatch:
    """One row for each item of each record's list."""
    # Drops the map, which is large, before a record becomes many rows.
    records = batch.select([n for n in batch.schema.names if _is_of_record(n)])
    return _rows(records.take(pc.list_parent_indices(lists)), pc.list_flatten(lists))


def _is_of_record(name: str) -> bool:
    """Whether a column was not added by scoring, or is one that every row has."""
    return name in (ID, SOURCE, STORED, _MODEL) or carried_name(name) == name


def _rows(
    records: pa.RecordBatch, values: pa.StructArray, taken: Collection[str] = ()
) -> pa.RecordBatch:
    """One row per value, with its record's columns except those added by scoring. Names that clash
    with fields of the values or with `taken` are prefixed with `input_`."""
    own = {field.name: pc.struct_field(values, field.name) for field in values.type}
    if STORED in records.schema.names:
        sizes = _sizes(records)
        own |= {name: pa.array(sizes[:, place], pa.int32()) for place, name in enumerate(_OF_IMAGE)}
    carried = [name for name in records.schema.names if carried_name(name) == name]
    names = _free_names(carried, {*own, *taken})
    return pa.RecordBatch.from_pydict(
        {
            **{name: records.column(name) for name in (ID, SOURCE)},
            **{names[name]: records.column(name) for name in carried},
            **own,
            _MODEL: records.column(_MODEL),
        }
    )


def _free_names(carried: Sequence[str], taken: Collection[str]) -> dict[str, str]:
    """The output names of carried columns: their own, prefixed with `input_` as often as needed to
    be free."""
    names: dict[str, str] = {}
    for name in carried:
        free = name
        while free in taken or (free != name and free in carried):
            free = f"input_{free}"
        names[name] = free
    return names


def carried_in_maps(name: str) -> str:
    """The name in a run's maps of the column `name` of its scores."""
    taken = {*(field.name for field in _OF_MAP), *_OF_IMAGE, *_OF_FILES}
    return f"input_{name}" if name in taken else name


def stored_sizes(batch: pa.RecordBatch) -> list[Stored]:
    """The stored sizes and orientations of the rows' images."""
    return [Stored(*size) for size in _sizes(batch).tolist()]


def _sizes(batch: pa.RecordBatch) -> np.ndarray:
    """`STORED` as (N, 3) int32."""
    return batch.column(STORED).flatten().to_numpy().reshape(len(batch), 3)
