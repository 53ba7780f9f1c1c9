"""Where a few records are anomalous, re-read from the inputs of a run."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ae_models.bundles.bundle import Bundle
from transforms.images.decode_batch import decode_batch
from transforms.images.orientation import upright
from transforms.maps.locate import Locator, Placed, check_regions
from transforms.maps.overlay import shown_map
from transforms.maps.regions import Region
from transforms.reading.find_images import found_records
from transforms.reading.looked_at import LookedAt
from transforms.records.batches import ID
from transforms.scoring.model_handler import LoadedModel
from transforms.scoring.options import ScoreOptions
from transforms.scoring.tiled_model import TiledModel
from transforms.sources import USUAL, ReadOptions

_ROWS = 16  # whose pictures are in memory at a time; one for images in tiles, of any size


class LocatedRecord(NamedTuple):
    """A record and where it is anomalous, with upright pictures.

    Attributes:
      id: the record's id.
      image: (h, w, 1) or (h, w, 3) uint8.
      overlay: (h, w, 3) uint8, the image in grey with its map as heat and boxes around regions.
      map: (h', w') float32, at most 2,048 places per side; NaN where the model did not see the
        image.
      regions: in pixels of the image as stored, the highest peak first.
      p_values: (n,) float64, of the n regions.
    """

    id: str
    image: np.ndarray
    overlay: np.ndarray
    map: np.ndarray
    regions: list[Region]
    p_values: np.ndarray


def locate_records(
    inputs: Sequence[str],
    ids: Collection[str],
    bundle: Bundle,
    fpr: float,
    options: ReadOptions = USUAL,
    looked_at: LookedAt | None = None,
) -> Iterator[LocatedRecord]:
    """The records with these ids, in input order. Records that no longer exist or cannot be decoded
    are omitted.

    Args:
      inputs: the inputs that `score` was given.
      ids: the ids of the requested records.
      bundle: the bundle that computes the maps, with or without tiles.
      fpr: the greatest p-value of a region's peak.
      options: how the inputs are read.
      looked_at: counts the records that cannot be decoded.

    Raises:
      InputError: an input does not exist.
      ConfigError: the bundle does not support regions.
    """
    check_regions(bundle)
    asked = ScoreOptions(fpr, regions=True, maps="all", map_format="png")
    is_tiled = bundle.config.image.tile is not None
    model = (TiledModel if is_tiled else LoadedModel)(str(bundle.path), asked)
    locator, rows_at_once = model.asked_locator(), 1 if is_tiled else _ROWS
    for batch in found_records(inputs, ids, options):
        for start in range(0, len(batch), rows_at_once):
            part = batch.slice(start, rows_at_once)
            shown = part if is_tiled else decode_batch(part, bundle.config.image, stored=True)
            rows, placed = model.located(shown)
            if looked_at is not None:
                looked_at.add_rejects(rows)
            names = rows.column(ID).to_pylist()
            for row, own in placed.items():
                yield _located(names[row], own, locator)


def _located(record: str, own: Placed, locator: Locator) -> LocatedRecord:
    regions = locator.regions(own)
    drawn = locator.drawn(own, regions)
    places = shown_map(own.placement.map_of_image(own.places))
    image, overlay, whole = (upright(shown, own.orientation) for shown in (*drawn, places))
    return LocatedRecord(record, image, overlay, whole, regions, locator.p_values(regions))
