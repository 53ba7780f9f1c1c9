"""Maps as PNG files, to be looked at."""

import io
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from transforms.maps.overlay import located
from transforms.maps.placement import Placement
from transforms.maps.regions import Region

MapFormat = Literal["parquet", "png"]
MIDDLE = 32768  # the level of the map's threshold in its picture
_BRIGHTEST = 2.0  # thresholds: the value of white, and of the brightest heat
_ORIENTATION = 0x0112  # EXIF's tag


class MapPictures(NamedTuple):
    """A map and its overlay, as PNG files, and the size of the map, (height, width)."""

    map: bytes
    overlay: bytes
    size: tuple[int, int]


def map_pictures(
    pixels: np.ndarray,
    places: np.ndarray,
    placement: Placement,
    regions: Sequence[Region],
    threshold: float,
    orientation: int,
) -> MapPictures:
    """The map of the whole image in 16 bits of grey, and the image with the map as heat over it and
    a box around each region; both as the file holds the image.

    Args:
      pixels, places, placement, regions: as of `transforms.maps.overlay.located`.
      threshold: the value that is mid-grey, 32768; 0 is black, and twice the threshold white.
      orientation: EXIF's, by which the image is turned to stand upright; the files say it too.
    """
    values = np.nan_to_num(placement.map_of_image(places)) * (MIDDLE / threshold)
    levels = np.clip(np.rint(values), 0, 65535).astype(np.uint16)
    drawn = located(pixels, places, placement, regions, _BRIGHTEST * threshold)
    height, width = levels.shape
    return MapPictures(_png(levels, orientation), _png(drawn.overlay, orientation), (height, width))


def _png(pixels: np.ndarray, orientation: int) -> bytes:
    exif = Image.Exif()
    if orientation != 1:
        exif[_ORIENTATION] = orientation
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png", exif=exif)
    return content.getvalue()
