"""Where scored records are anomalous, from their model's anomaly maps."""

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

PEAK = "map_peak"  # the score that calibrates a map's threshold
Kept = Literal["all", "flagged"]
_LEAST_RANGE = 1e-12  # the minimum between the shades of pictures


def has_regions(bundle: Bundle) -> bool:
    """Whether the bundle supports regions: it has a map, and the calibrated peaks of normal images'
    maps."""
    return bundle.config.scoring.map != NO_MAP and PEAK in bundle.calibrated_scores()


def check_regions(bundle: Bundle) -> None:
    """Raises ConfigError if the bundle does not support regions (`has_regions`)."""
    if not has_regions(bundle):
        raise ConfigError(
            f"{bundle.path} does not support regions: it has no map, or lacks the score {PEAK} "
            "that calibrates them; retrain it"
        )


class Placed(NamedTuple):
    """A map and the position of its image.

    Attributes:
      places: (h, w) float32.
      placement: where the image is in the map.
      orientation: the EXIF orientation that turns the stored image upright.
      pixels: (H, W, C) uint8 or uint16, of the same frame; None if no pictures are requested.
    """

    places: np.ndarray
    placement: Placement
    orientation: int
    pixels: np.ndarray | None = None


class Locator:
    """Finds regions in maps, and stores maps.

    Args:
      bundle: the bundle that computes the maps; its calibration records give the peaks of normal
        images' maps.
      fpr: the greatest p-value of a region's peak, hence the share of normal images with a region.
      maps: which records' maps are stored; if None, none.
      map_format: numbers or PNG files.

    Raises:
      ConfigError: the bundle does not support regions.
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
        """Places the maps, (N, h, w) float32, of N good records with `STORED` and decoded
        images."""
        sizes, size = stored_sizes(batch), places.shape[1:]
        placements = [Placement.of(stored, self._image, size) for stored in sizes]
        pixels: Iterable[np.ndarray | None] = itertools.repeat(None)
        if self.draws:
            layout = self._image.shape, np.dtype(self._image.dtype)
            pixels = pixels_from_arrow(batch.column(IMAGE), *layout)
        return list(map(Placed, places, placements, (s.orientation for s in sizes), pixels))

    def regions(self, own: Placed) -> list[Region]:
        """The regions of a map, the highest peak first."""
        return find_regions(own.places, self._threshold, own.placement)

    def p_values(self, regions: Sequence[Region]) -> np.ndarray:
        """(n,) float64, of n regions."""
        return self._calibration.p_values(np.array([own.peak for own in regions], np.float32))

    def drawn(self, own: Placed, regions: Sequence[Region]) -> Located:
        """The image and its overlay, from a map with pixels.

        Raises:
          ValueError: the map has no pixels.
        """
        if own.pixels is None:
            raise ValueError("the map has no pixels to draw")
        return located(own.pixels, own.places, own.placement, regions, self.shades)

    def columns(self, maps: Sequence[Placed], flags: np.ndarray) -> dict[str, pa.Array]:
        """The column `REGIONS` and, if maps are stored, `MAP`, for N records with `flags`, (N,)
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
        """The shades of pictures. The middle is the threshold or, if calibration records are too
        few for one, their greatest peak. Black is 0 or, for maps that may be negative, the least
        peak of the calibration records."""
        least, greatest = map(float, self._calibration.scores[[0, -1]])
        middle = self._threshold if np.isfinite(self._threshold) else greatest
        black = 0.0 if middle > 0 else least
        return Shades(black, max(middle, black + _LEAST_RANGE))
