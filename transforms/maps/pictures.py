"""Maps as PNG files, for viewing."""

import io
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

MapFormat = Literal["parquet", "png"]
_MIDDLE = 32768  # the picture's level at the map's threshold
_ROWS = 256
_ORIENTATION = 0x0112  # EXIF's tag


class Shades(NamedTuple):
    """The map values shown in pictures as black, and as `middle`, the threshold of regions."""

    black: float
    middle: float

    @property
    def brightest(self) -> float:
        """The value of white and of the brightest heat: as far above the middle as black is
        below."""
        return 2 * self.middle - self.black

    @property
    def per_level(self) -> float:
        """The difference in value between consecutive 16-bit levels."""
        return (self.middle - self.black) / _MIDDLE


class MapPictures(NamedTuple):
    """A map and its overlay, as PNG files, and the size of the map, (height, width)."""

    map: bytes
    overlay: bytes
    size: tuple[int, int]


def map_pictures(
    values: np.ndarray, overlay: np.ndarray, shades: Shades, orientation: int
) -> MapPictures:
    """Encodes a map as 16-bit grey, together with its overlay.

    Args:
      values: (h, w) float32, of the entire image as stored; NaN (unknown) becomes black.
      overlay: (H, W, 3) uint8, as drawn by `transforms.maps.overlay.located`.
      shades: the values at levels 0 and 32768.
      orientation: the EXIF orientation that turns the image upright; written to the files too.
    """
    height, width = values.shape
    levels = np.empty((height, width), np.uint16)
    for top in range(0, height, _ROWS):  # in bands: maps of large images are large
        scaled = (values[top : top + _ROWS] - shades.black) / shades.per_level
        levels[top : top + _ROWS] = np.clip(np.rint(np.nan_to_num(scaled)), 0, 65535)
    return MapPictures(_png(levels, orientation), _png(overlay, orientation), (height, width))


def _png(pixels: np.ndarray, orientation: int) -> bytes:
    exif = Image.Exif()
    if orientation != 1:
        exif[_ORIENTATION] = orientation
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png", exif=exif)
    return content.getvalue()
