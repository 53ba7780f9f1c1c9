"""Maps as PNG files, to be looked at."""

import io
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

MapFormat = Literal["parquet", "png"]
MIDDLE = 32768  # the level of the map's threshold in its picture
BRIGHTEST = 2.0  # thresholds: the value of white, and of the brightest heat
_ROWS = 256
_ORIENTATION = 0x0112  # EXIF's tag


class MapPictures(NamedTuple):
    """A map and its overlay, as PNG files, and the size of the map, (height, width)."""

    map: bytes
    overlay: bytes
    size: tuple[int, int]


def map_pictures(
    values: np.ndarray, overlay: np.ndarray, threshold: float, orientation: int
) -> MapPictures:
    """A map in 16 bits of grey, and its overlay.

    Args:
      values: (h, w) float32, of the whole image as its file holds it; NaN, where it is not known,
        becomes black.
      overlay: (H, W, 3) uint8, as `transforms.maps.overlay.located` draws it.
      threshold: the value that is mid-grey, 32768; 0 is black, and twice the threshold white.
      orientation: EXIF's, by which the image is turned to stand upright; the files say it too.
    """
    height, width = values.shape
    levels = np.empty((height, width), np.uint16)
    for top in range(0, height, _ROWS):  # of large images' maps, not all at once
        scaled = np.nan_to_num(values[top : top + _ROWS]) * (MIDDLE / threshold)
        levels[top : top + _ROWS] = np.clip(np.rint(scaled), 0, 65535)
    return MapPictures(_png(levels, orientation), _png(overlay, orientation), (height, width))


def _png(pixels: np.ndarray, orientation: int) -> bytes:
    exif = Image.Exif()
    if orientation != 1:
        exif[_ORIENTATION] = orientation
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png", exif=exif)
    return content.getvalue()
