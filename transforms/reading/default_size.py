"""The size that images are brought to where none is set."""

import itertools
import math
import statistics
from collections.abc import Sequence

Size = tuple[int, int]  # height and width, in pixels
_SIDE = 64  # of the square that a size which trains in minutes on two cores has the area of
_MULTIPLE = 4


def default_size(sizes: Sequence[Size]) -> Size:
    """A height and width with the images' median aspect ratio and at most 64 · 64 pixels, neither
    of them greater than the median image's: detail that is not there costs time and shows nothing.

    Sides that are scaled down are multiples of 4, but those of less than 4. Images of one size of
    at most 64 · 64 pixels keep it.

    Args:
      sizes: (height, width) of each image, at least one.
    """
    height, width = median_size(sizes)
    ratio = aspect_ratio(sizes)
    # The largest with that ratio in the median image; of one size, that size itself.
    fitted = min(height, width * ratio), min(width, height / ratio)
    scale = _SIDE / math.sqrt(fitted[0] * fitted[1])
    if scale >= 1:
        return min(height, max(1, round(fitted[0]))), min(width, max(1, round(fitted[1])))
    return _nearest((fitted[0] * scale, fitted[1] * scale), (height, width))


def median_size(sizes: Sequence[Size]) -> Size:
    """The median of heights, and that of widths; of two in the middle the lower."""
    heights, widths = zip(*sizes, strict=True)
    return statistics.median_low(heights), statistics.median_low(widths)


def aspect_ratio(sizes: Sequence[Size]) -> float:
    """The median of height / width, on a logarithmic scale: as many upright images as equally long
    ones on their side are square in the middle."""
    return math.exp(statistics.median(math.log(height / width) for height, width in sizes))


def _nearest(wanted: tuple[float, float], most: Size) -> Size:
    """The whole sides next to those wanted that differ least from them, of those that have no more
    than 64 · 64 pixels and are within `most`."""
    allowed = [
        (height, width)
        for height, width in itertools.product(_around(wanted[0]), _around(wanted[1]))
        if height * width <= _SIDE**2 and height <= most[0] and width <= most[1]
    ]
    if not allowed:  # one side is less than a pixel
        height, width = (max(1, min(round(side), _SIDE**2)) for side in wanted)
        return min(height, most[0]), min(width, most[1])
    return min(allowed, key=lambda size: _distance(size, wanted))


def _around(side: float) -> tuple[int, ...]:
    unit = _MULTIPLE if side >= _MULTIPLE else 1
    low = int(side // unit) * unit
    return tuple(found for found in (low, low + unit) if found)


def _distance(size: Size, wanted: tuple[float, float]) -> float:
    """In aspect ratio first of all, and in both sides."""
    height, width = (math.log(side / ideal) for side, ideal in zip(size, wanted, strict=True))
    return (height - width) ** 2 + height**2 + width**2
