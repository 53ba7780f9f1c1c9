"""Where scored records are anomalous, by the maps that their model gives."""

import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa

from ae_models.bundles.bundle import Bundle
from ae_models.calibration.score_calibration import calibration_of
from ae_models.config.maps import NO_MAP
from ae_models.errors import ConfigError
from transforms.maps.overlay import Located, located
from transforms.maps.pictures import MapFormat, Shades, map_pictures
from transforms.maps.placement import Placement
from transforms.maps.regions import Region, find_regions
from transforms.maps.tables import map_column, picture_column, regions_column, stored_sizes
from transforms.records.batches import IMAGE, MAP, REGIONS
from transforms.records.pixels import pixels_from_arrow

PEAK = "map_peak"  # the score that a map's threshold is calibrated by
Kept = Literal["all", "flagged"]
_LEAST_RANGE = 1e-12  # between the shades of pictures


def has_regions(bundle: Bundle) -> bool:
    """Whether there is what tells a region from the rest of an image: a map, and what its greatest
    value is of normal images."""
    return bundle.config.scoring.map != NO_MAP and PEAK in bundle.calibrated_scores()


def check_regions(bundle: Bundle) -> None:
    """Raises ConfigError for a bundle without regions (`has_regions`)."""
    if not has_regions(bundle):
        raise ConfigError(
            f"{bundle.path} tells no regions: it has no map, or not the score {PEAK}, by which "
            "they are calibrated; train it again"
        )


class Placed(NamedTuple):
    """A map.

    Attributes:
      places: (h, w) float32.
      placement: where its image lies in it.
      orientation: by which EXIF says how the image as it is stored is turned to stand upright.
      pixels: (H, W, C) uint8 or uint16, of the same frame; None where no pictures are asked for.
    """

    places: np.ndarray
    placement: Placement
    orientation: int
    pixels: np.ndarray | None = None


class Locator:
    """Finds regions in maps, and keeps maps.

    Args:
      bundle: whose maps they are, and whose calibration records say what the greatest value of a
        normal image's map is.
      fpr: the greatest p-value of a region's peak, and so the share of normal images that have any.
      maps: of which records maps are kept; None: of none.
      map_format: as numbers, or as PNG files.

    Raises:
      ConfigError: the bundle tells no regions.
    """

    def __init__(
        self, bundle: Bundle, fpr: float, maps: Kept | None, map_format: MapFormat = "parquet"
    ):
        check_regions(bundle)
        self._calibration = calibration_of(bundle, PEAK)
        self._threshold = self._calibration.threshold(fpr)
        self._image, self._kept = bundle.config.image, maps
        self.draws = maps is not None and map_format == "png"

    def placed(self, batch: pa.RecordBatch, places: np.ndarray) -> list[Placed]:
        """The maps, (N, h, w) float32, of N good records with `STORED` and decoded images."""
        sizes, size = stored_sizes(batch), places.shape[1:]
        placements = [Placement.of(stored, self._image, size) for stored in sizes]
        pixels: Iterable[np.ndarray | None] = itertools.repeat(None)
        if self.draws:
            layout = self._image.shape, np.dtype(self._image.dtype)
            pixels = pixels_from_arrow(batch.column(IMAGE), *layout)
        return list(map(Placed, places, placements, (s.orientation for s in sizes), pixels))

    def regions(self, own: Placed) -> list[Region]:
        """Those of a map, the highest peak first."""
        return find_regions(own.places, self._threshold, own.placement)

    def p_values(self, regions: Sequence[Region]) -> np.ndarray:
        """(n,) float64, of n regions."""
        return self._calibration.p_values(np.array([own.peak for own in regions], np.float32))

    def drawn(self, own: Placed, regions: Sequence[Region]) -> Located:
        """The image and its overlay, from a map with pixels.

        Raises:
          ValueError: it has none.
        """
        if own.pixels is None:
            raise ValueError("there are no pixels beside the map")
        return located(own.pixels, own.places, own.placement, regions, self.shades)

    def columns(self, maps: Sequence[Placed], flags: np.ndarray) -> dict[str, pa.Array]:
        """`REGIONS` and, where maps are kept, `MAP`, of N records, of which some are flagged, (N,)
        bool."""
        regions = list(map(self.regions, maps))
        columns = {REGIONS: regions_column(regions, list(map(self.p_values, regions)))}
        if self._kept is not None:
            kept = flags | np.array(list(map(bool, regions)), bool) | (self._kept == "all")
            shown = list(zip(maps, regions, kept, strict=True))
            columns[MAP] = self._pictures(shown) if self.draws else self._maps(shown)
        return columns

    def _maps(self, records: Sequence[tuple[Placed, list[Region], bool]]) -> pa.Array:
        whole = [
            own.placement.map_of_image(own.places) if keep else None for own, _, keep in records
        ]
        return map_column(whole, [own.placement for own, _, _ in records])

    def _pictures(self, records: Sequence[tuple[Placed, list[Region], bool]]) -> pa.Array:
        pictures = [
            map_pictures(
                own.placement.map_of_image(own.places),
                self.drawn(own, regions).overlay,
                self.shades,
                own.orientation,
            )
            if keep
            else None
            for own, regions, keep in records
        ]
        placements = [own.placement for own, _, _ in records]
        return picture_column(pictures, placements, self.shades)

    @functools.cached_property
    def shades(self) -> Shades:
        """Of pictures: the middle is the threshold, or where calibration records are too few for
        one the greatest value that they have. Black is 0, but of maps that may be below it the
        least of calibration records' greatest values."""
        least, greatest = map(float, self._calibration.scores[[0, -1]])
        middle = self._threshold if np.isfinite(self._threshold) else greatest
        black = 0.0 if middle > 0 else least
        return Shades(black, max(middle, black + _LEAST_RANGE))
