"""Where scored records are anomalous, by the maps that their model gives."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa

from ae_models.bundles.bundle import Bundle
from ae_models.calibration.score_calibration import calibration_of
from ae_models.config.maps import NO_MAP
from ae_models.errors import ConfigError
from transforms.maps.placement import Placement
from transforms.maps.regions import find_regions
from transforms.maps.tables import map_column, regions_column, stored_sizes
from transforms.records.batches import MAP, REGIONS

PEAK = "map_peak"  # the score that a map's threshold is calibrated by
Kept = Literal["all", "flagged"]


def has_regions(bundle: Bundle) -> bool:
    """Whether there is what tells a region from the rest of an image: a map, and what its greatest
    value is of normal images."""
    return bundle.config.scoring.map != NO_MAP and PEAK in bundle.calibrated_scores()


class Placed(NamedTuple):
    """A map, (h, w) float32, and where its image lies in it."""

    places: np.ndarray
    placement: Placement


class Locator:
    """Finds regions in maps, and keeps maps.

    Args:
      bundle: whose maps they are, and whose calibration records say what the greatest value of a
        normal image's map is.
      fpr: the greatest p-value of a region's peak, and so the share of normal images that have any.
      maps: of which records maps are kept; None: of none.

    Raises:
      ConfigError: the bundle tells no regions.
    """

    def __init__(self, bundle: Bundle, fpr: float, maps: Kept | None):
        if not has_regions(bundle):
            raise ConfigError(
                f"{bundle.path} tells no regions: it has no map, or not the score {PEAK}, by which "
                "they are calibrated; train it again"
            )
        self._calibration = calibration_of(bundle, PEAK)
        self._threshold = self._calibration.threshold(fpr)
        self._image, self._kept = bundle.config.image, maps

    def placed(self, batch: pa.RecordBatch, places: np.ndarray) -> list[Placed]:
        """The maps, (N, h, w) float32, of N good records with `STORED`."""
        sizes, size = stored_sizes(batch), places.shape[1:]
        placements = [Placement.of(stored, self._image, size) for stored in sizes]
        return list(map(Placed, places, placements))

    def columns(self, maps: Sequence[Placed], flags: np.ndarray) -> dict[str, pa.Array]:
        """`REGIONS` and, where maps are kept, `MAP`, of N records, of which some are flagged, (N,)
        bool."""
        regions = [find_regions(own.places, self._threshold, own.placement) for own in maps]
        peaks = [np.array([region.peak for region in own], np.float32) for own in regions]
        columns = {REGIONS: regions_column(regions, list(map(self._calibration.p_values, peaks)))}
        if self._kept is not None:
            kept = flags | np.array(list(map(bool, regions)), bool) | (self._kept == "all")
            whole = [
                own.placement.map_of_image(own.places) if keep else None
                for own, keep in zip(maps, kept, strict=True)
            ]
            columns[MAP] = map_column(whole, [own.placement for own in maps])
        return columns
