"""Maps as PNG files, to be looked at."""

import io
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

MapFormat = Literal["parquet", "png"]
_MIDDLE = 32768  # the level of the map's threshold in its picture
_ROWS = 256
_ORIENTATION = 0x0112  # EXIF's tag


class Shades(NamedTuple):
    """What values of maps are in pictures: `black`, and `middle`, the threshold of regions."""

    black: float
    middle: float

    @property
    def brightest(self) -> float:
        """The value of white, and of the brightest heat: as far above the middle as black is below
        it."""
        return 2 * self.middle - self.black

    @property
    def per_level(self) -> float:
        """By how much a level of 16 bits differs from the next."""
        return (self.middle - self.black) / _MIDDLE


class MapPictures(NamedTuple):
    """A map and its overlay, as PNG files, and the size of the map, (height, width)."""

    map: bytes
    overlay: bytes
    size: tuple[int, int]


def map_pictures(
    values: np.ndarray, overlay: np.ndarray, shades: Shades, orientation: int
) -> MapPictures:
    """A map in 16 bits of grey, and its overlay.

    Args:
      values: (h, w) float32, of the whole image as its file holds it; NaN, where it is not known,
        becomes black.
      overlay: (H, W, 3) uint8, as `transforms.maps.overlay.located` draws it.
      shades: which value is level 0, and which 32768.
      orientation: EXIF's, by which the image is turned to stand upright; the files say it too.
    """
    height, width = values.shape
    levels = np.empty((height, width), np.uint16)
    for top in range(0, height, _ROWS):  # of large images' maps, not all at once
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
