"""Maps as heat over their images, with boxes around regions."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from ae_models.config.extras import require
from transforms.images.orientation import Stored
from transforms.maps.pictures import Shades
from transforms.maps.placement import Placement
from transforms.maps.regions import Region

HEAT = "magma"
OVER = "autumn_r"  # from yellow to red: every value of it stands out on grey
_SHARE = 0.7  # the maximum opacity of the heat; where values are low only the image is visible
_FROM, _TO = 0.3, 0.6  # shares of the brightest value where heat begins, and is most opaque
_LEAST_SIDE = 256  # smaller images are enlarged, so that boxes and heat are distinguishable
_BOX = (0, 190, 255)  # a colour that the heat does not contain
_AROUND = 3  # pixels between a region and its box, which would otherwise hide a small region
_WIDE_LINES_FROM = 768
_MOST_PLACES = 2048  # drawn per side: more would not be visible
_SAME_ASPECT = 0.05  # the change of aspect ratio that rounding to whole pixels may cause


def heat_over(images: np.ndarray, errors: np.ndarray, worst: float) -> np.ndarray:
    """Images in grey, overlaid with errors as heat from three tenths of `worst` upwards.

    Args:
      images: (N, H, W, C), with values from 0 to 1.
      errors: (N, H, W), at least 0.
      worst: the error shown in the brightest colour.

    Returns:
      (N, H, W, 3) float32, from 0 to 1.

    Raises:
      MissingExtraError: matplotlib is not installed.
    """
    require("overlays", "matplotlib")
    import matplotlib  # noqa: PLC0415 - slow to import, and few runs draw

    grey = (images[..., :3] if images.shape[-1] >= 3 else images[..., :1]).mean(axis=-1)
    unit = np.clip(errors / max(worst, 1e-12), 0.0, 1.0)
    heat = matplotlib.colormaps[OVER](unit)[..., :3]
    share = _SHARE * np.clip((unit - _FROM) / (_TO - _FROM), 0.0, 1.0)[..., None]
    return np.asarray((1 - share) * grey[..., None] + share * heat, np.float32)


class Located(NamedTuple):
    """An image and its overlay, both oriented as stored, and of the same size.

    Attributes:
      image: (h, w, 1) or (h, w, 3) uint8.
      overlay: (h, w, 3) uint8: the image in grey, its map as heat, a box around each region.
    """

    image: np.ndarray
    overlay: np.ndarray


def located(
    pixels: np.ndarray,
    places: np.ndarray,
    placement: Placement,
    regions: Sequence[Region],
    shades: Shades,
) -> Located:
    """Draws where an image is anomalous.

    Args:
      pixels: (H, W, C) uint8 or uint16, of the map's frame, at any size.
      places: (h, w) float32, the map of the frame. If it has more than 2,048 places per side (an
        image in tiles), there must be one pixel per place; pictures then show blocks of places, by
        their mean pixel and the greatest value of the map.
      placement: where the image is in the map.
      regions: the regions of the image.
      shades: the values of the map shown as black and as half the greatest brightness.
    """
    if (times := _times_too_large(places)) > 1:
        placement = dataclasses.replace(
            placement, places=(placement.places[0] * times, placement.places[1] * times)
        )
        places = shown_map(places)
        pixels = _blocks(pixels, times).mean(axis=(1, 3), dtype=np.float32).astype(pixels.dtype)
    of_pixels = placement.sized(places, pixels)
    levels = of_pixels.pixels_of_image(pixels)
    # Resized to the frame first, so that the heat ends where the frame does.
    values = of_pixels.map_of_image(_resized(places, pixels.shape[:2]))
    size = _of_aspect(levels.shape[:2], placement.stored)
    image = enlarged(_resized(_shown(levels, pixels.dtype), size))
    heat = enlarged(_resized(np.nan_to_num(values - shades.black), size))
    worst = shades.brightest - shades.black
    over = heat_over(image[None] / np.float32(255), heat[None], worst)[0]
    return Located(image, _boxed(np.rint(over * 255).astype(np.uint8), regions, placement))


def shown_map(places: np.ndarray) -> np.ndarray:
    """(h, w) → at most 2,048 places per side, each the maximum of a block if there are more."""
    times = _times_too_large(places)
    return places if times == 1 else _blocks(places, times).max(axis=(1, 3))


def _times_too_large(places: np.ndarray) -> int:
    return -(-max(places.shape) // _MOST_PLACES)


def _blocks(values: np.ndarray, times: int) -> np.ndarray:
    """(h, w, ...) as (h', times, w', times, ...), with the last row and column repeated to fill the
    last blocks."""
    height, width = (-(-side // times) for side in values.shape[:2])
    beyond = (height * times - values.shape[0], width * times - values.shape[1])
    padding = [(0, beyond[0]), (0, beyond[1]), *[(0, 0)] * (values.ndim - 2)]
    whole = np.pad(values, padding, mode="edge")
    return whole.reshape(height, times, width, times, *values.shape[2:])


def _shown(levels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """(H, W, 1) or (H, W, 3) uint8, black where levels are NaN. 16-bit images seldom use their full
    range, and are stretched to it."""
    shown = levels[..., :3] if levels.shape[-1] in (3, 4) else levels[..., :1]
    if dtype != np.uint8:
        low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
        shown = (shown - low) * (255 / max(high - low, 1.0))
    return np.rint(np.nan_to_num(shown)).astype(np.uint8)


def _of_aspect(size: tuple[int, int], stored: Stored) -> tuple[int, int]:
    """The size, (height, width), with the aspect ratio of the stored image. Neither side is
    reduced, except for images so thin that they would have more than sixteen times the pixels."""
    height, width = size
    across, down = width / stored.width, height / stored.height
    if abs(across / down - 1) < _SAME_ASPECT:
        return size
    most = max(_MOST_PLACES, height, width) / max(stored.width, stored.height)
    scale = min(max(across, down), (16 * across * down) ** 0.5, most)
    return max(1, round(stored.height * scale)), max(1, round(stored.width * scale))


def _resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) or (h, w, C) at another size, (height, width), interpolated linearly."""
    if values.shape[:2] == size:
        return values
    if values.ndim == 3:
        planes = [_resized(values[..., index], size) for index in range(values.shape[-1])]
        return np.stack(planes, axis=-1)
    image = Image.fromarray(np.ascontiguousarray(values))
    return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))


def enlarged(image: np.ndarray) -> np.ndarray:
    """(h, w, ...) → at least 256 pixels along the longer side, by repeating pixels."""
    times = -(-_LEAST_SIDE // max(image.shape[:2]))
    return image if times == 1 else image.repeat(times, axis=0).repeat(times, axis=1)


def _boxed(picture: np.ndarray, regions: Sequence[Region], placement: Placement) -> np.ndarray:
    if not regions:
        return picture
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    across, down = image.width / placement.stored.width, image.height / placement.stored.height
    line = 1 if max(image.size) < _WIDE_LINES_FROM else 2
    for region in regions:
        left = max(0, round(region.x * across) - _AROUND)
        top = max(0, round(region.y * down) - _AROUND)
        right = round((region.x + region.width) * across) - 1 + _AROUND
        bottom = round((region.y + region.height) * down) - 1 + _AROUND
        right, bottom = min(image.width - 1, right), min(image.height - 1, bottom)
        draw.rectangle((left, top, right, bottom), outline=_BOX, width=line)
    return np.asarray(image)
