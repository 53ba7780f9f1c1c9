"""The default size to which images are resized."""

import itertools
import math
import statistics
from collections.abc import Sequence

Size = tuple[int, int]  # height and width, in pixels
_SIDE = 64  # side of a square whose area trains in minutes on two cores
_MULTIPLE = 4


def default_size(sizes: Sequence[Size]) -> Size:
    """A height and width with the images' median aspect ratio and at most 64 · 64 pixels, neither
    greater than that of the median image, as upscaling costs time and adds no detail.

    Sides that are scaled down are multiples of 4, except those of less than 4. Images of one size
    with at most 64 · 64 pixels keep that size.

    Args:
      sizes: (height, width) of each image, at least one.
    """
    height, width = median_size(sizes)
    ratio = aspect_ratio(sizes)
    # The largest size with that ratio within the median image; for images of one size, that size.
    fitted = min(height, width * ratio), min(width, height / ratio)
    scale = _SIDE / math.sqrt(fitted[0] * fitted[1])
    if scale >= 1:
        return min(height, max(1, round(fitted[0]))), min(width, max(1, round(fitted[1])))
    return _nearest((fitted[0] * scale, fitted[1] * scale), (height, width))


def median_size(sizes: Sequence[Size]) -> Size:
    """The median of heights and the median of widths; of two middle values, the lower."""
    heights, widths = zip(*sizes, strict=True)
    return statistics.median_low(heights), statistics.median_low(widths)


def aspect_ratio(sizes: Sequence[Size]) -> float:
    """The median of height / width, on a logarithmic scale: equally many portrait and landscape
    images of one aspect ratio have a square median."""
    return math.exp(statistics.median(math.log(height / width) for height, width in sizes))


def _nearest(wanted: tuple[float, float], most: Size) -> Size:
    """The whole sides adjacent to the desired ones that differ least from them, with at most
    64 · 64 pixels and within `most`."""
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
    """The difference between two sizes: mainly in aspect ratio, and in both sides."""
    height, width = (math.log(side / ideal) for side, ideal in zip(size, wanted, strict=True))
    return (height - width) ** 2 + height**2 + width**2
