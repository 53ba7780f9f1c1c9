"""The pixels of a finished run's records, as their maps and masks have them."""

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
      id: of the record.
      anomalous: whether it is, as a condition says; None where that is not known.
      kind: its value in the column of kinds.
      places: (h, w) float16, of the whole image as it is stored.
      stored: how its file holds the image.
    """

    id: str
    anomalous: bool | None
    kind: str | None
    places: np.ndarray
    stored: Stored

    def pixels(self, mask: np.ndarray | None) -> ImagePixels:
        """With the map enlarged to the size of the image, by straight lines between the centres of
        places."""
        size = (self.stored.width, self.stored.height)
        image = Image.fromarray(self.places.astype(np.float32))
        return ImagePixels.of(np.asarray(image.resize(size, Image.Resampling.BILINEAR)), mask)


def mapped_records(scores: str, where: Where, by: str) -> Iterator[MappedRecord]:
    """The records of a run whose maps are all kept, in the order of its files.

    Args:
      scores: the folder of the finished run.
      where: holds for the anomalous records.
      by: the column of kinds.

    Raises:
      InputError: no finished run, or one that has not the maps of all records; a file that cannot
        be read.
      ConfigError: no such column.
    """
    ledger = read_ledger(scores)
    if ledger.get("maps_of") != "all":
        raise InputError(f"{scores} has not the maps of all records: score with --maps all")
    if ledger.get("map_format") == "png":
        raise InputError(f"{scores} has pictures of its maps alone: score without --map_format png")
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
    """Raises ValueError unless the columns of maps are whole, and of their types."""
    for name in _COLUMNS:
        column = batch.column(name)
        if name == "map":
            fits = pa.types.is_list(column.type) and pa.types.is_floating(column.type.value_type)
        else:
            fits = pa.types.is_integer(column.type)
        if not fits or column.null_count:
            raise ValueError(f"column {name!r} is of type {column.type}, or not whole")


def _rows(batch: pa.RecordBatch) -> Iterator[dict]:
    maps = batch.column("map")
    others = batch.drop_columns(["map"]).to_pylist()
    for index, row in enumerate(others):
        yield {**row, "map": maps[index].values.to_numpy()}
