"""The pixels of a finished run's records, from their maps and masks."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from ae_models.errors import InputError
from ae_models.pixel_ranking.counts import ImagePixels
from transforms.images.orientation import Stored
from transforms.maps.tables import carried_in_maps
from transforms.records.batches import ID
from transforms.records.where import Where
from transforms.results.read_shards import shard_batches
from transforms.runs.ledger import MAPS, read_ledger, result_files
from transforms.runs.shards import read_errors

_ROWS = 64
_COLUMNS = ("map_width", "map_height", "map", "image_width", "image_height", "orientation")


class MappedRecord(NamedTuple):
    """A record of a run with its map.

    Attributes:
      id: the record's id.
      anomalous: whether it is anomalous, according to a condition; None if not known.
      kind: its value in the column of kinds.
      places: (h, w) float16, of the entire image as stored.
      stored: the size and orientation of the image in its file.
    """

    id: str
    anomalous: bool | None
    kind: str | None
    places: np.ndarray
    stored: Stored

    def pixels(self, mask: np.ndarray | None) -> ImagePixels:
        """The record's pixels, with the map enlarged to the size of the image by linear
        interpolation between the centres of places."""
        size = (self.stored.width, self.stored.height)
        image = Image.fromarray(self.places.astype(np.float32))
        return ImagePixels.of(np.asarray(image.resize(size, Image.Resampling.BILINEAR)), mask)


def mapped_records(scores: str, where: Where, by: str) -> Iterator[MappedRecord]:
    """Yields the records of a run that stored the maps of all records, in the order of its files.

    Args:
      scores: the folder of the finished run.
      where: true for the anomalous records.
      by: the column of kinds.

    Raises:
      InputError: there is no finished run, it lacks the maps of some records, or a file cannot be
        read.
      ConfigError: there is no such column.
    """
    ledger = read_ledger(scores)
    if ledger.get("maps_of") != "all":
        raise InputError(f"{scores} lacks the maps of some records: score with --maps all")
    if ledger.get("map_format") == "png":
        raise InputError(f"{scores} has only pictures of its maps: score without --map_format png")
    known, kinds = carried_in_maps(where.column), carried_in_maps(by)
    columns = list(dict.fromkeys([ID, *_COLUMNS, known, kinds]))
    for path in result_files(scores, MAPS):
        for batch in shard_batches(path, columns, rows=_ROWS):
            with read_errors(path):
                records = list(_records(batch, where, batch.column(known), batch.column(kinds)))
            yield from records


def _records(
    batch: pa.RecordBatch, where: Where, column: pa.Array, by: pa.Array
) -> Iterator[MappedRecord]:
    _check(batch)
    known = pc.is_valid(column).to_pylist()
    anomalous = where.mask(column).to_pylist()
    kinds = by.to_pylist()
    rows = batch.select([ID, *_COLUMNS])
    for index, row in enumerate(_rows(rows)):
        kind = kinds[index]
        yield MappedRecord(
            row[ID],
            bool(anomalous[index]) if known[index] else None,
            None if kind is None else str(kind),
            row["map"].reshape(row["map_height"], row["map_width"]),
            Stored(row["image_width"], row["image_height"], row["orientation"]),
        )


def _check(batch: pa.RecordBatch) -> None:
    """Raises ValueError unless the columns of maps have their types, and no missing values."""
    for name in _COLUMNS:
        column = batch.column(name)
        if name == "map":
            fits = pa.types.is_list(column.type) and pa.types.is_floating(column.type.value_type)
        else:
            fits = pa.types.is_integer(column.type)
        if not fits or column.null_count:
            raise ValueError(f"column {name!r} has the type {column.type}, or missing values")


def _rows(batch: pa.RecordBatch) -> Iterator[dict]:
    maps = batch.column("map")
    others = batch.drop_columns(["map"]).to_pylist()
    for index, row in enumerate(others):
        yield {**row, "map": maps[index].values.to_numpy()}
