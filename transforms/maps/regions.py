"""Regions of a map above a threshold: where an image is anomalous, as boxes."""

import math
from typing import Any, NamedTuple

import numpy as np

from transforms.images.fitting import Box
from transforms.maps.placement import Placement

_TOUCHING = np.ones((3, 3), bool)  # places that touch only at a corner are connected


class Region(NamedTuple):
    """A connected part of an image.

    Attributes:
      x, y: the leftmost column and topmost row of its bounding box, in pixels of the image as
        stored.
      width, height: the size of its bounding box, in pixels.
      area: the area of its places, in pixels of the image, rounded.
      peak, mean: the greatest and the mean value of the map in it.
    """

    x: int
    y: int
    width: int
    height: int
    area: int
    peak: float
    mean: float


def find_regions(places: np.ndarray, threshold: float, placement: Placement) -> list[Region]:
    """The connected regions where a map is at or above a threshold, the highest peak first.

    Args:
      places: (h, w) float32, the map of a frame.
      threshold: the least value inside a region.
      placement: where the image is in the map; places outside it are in no region.
    """
    rows, columns = placement.shares(places.shape)
    extent = _extent(places, rows > 0, columns > 0, threshold)
    if extent is None:
        return []
    top, left, within = extent
    from scipy import ndimage  # noqa: PLC0415 - slow to import, and few records have regions

    labels, count = _labelled(within >= threshold)
    regions = []
    for number, (down, across) in enumerate(ndimage.find_objects(labels, count), 1):
        box = (across.start + left, down.start + top, across.stop + left, down.stop + top)
        inside = labels[down, across] == number
        shares = rows[box[1] : box[3]] @ inside @ columns[box[0] : box[2]]
        regions.append(_region(within[down, across][inside], shares, box, placement))
    found = [region for region in regions if region is not None]
    return sorted(found, key=lambda region: (-region.peak, region.y, region.x))


def _extent(
    places: np.ndarray, rows: np.ndarray, columns: np.ndarray, threshold: float
) -> tuple[int, int, np.ndarray] | None:
    """The part of a map that contains all regions within `rows`, (h,) bool, and `columns`, (w,)
    bool, preceded by its top row and left column; None if there is no region."""
    inside = [
        np.flatnonzero(mask & (places.max(axis=axis) >= threshold))
        for mask, axis in ((rows, 1), (columns, 0))
    ]
    if not all(map(len, inside)):
        return None
    (top, bottom), (left, right) = ((int(found[0]), int(found[-1]) + 1) for found in inside)
    return top, left, places[top:bottom, left:right]


def _labelled(inside: np.ndarray) -> tuple[np.ndarray, int]:
    """Labels of regions, from 1, and their number; two bytes per place, if that is enough."""
    from scipy import ndimage  # noqa: PLC0415

    labels: Any = np.empty(inside.shape, np.uint16)
    try:
        return labels, ndimage.label(inside, _TOUCHING, output=labels)
    except RuntimeError:  # too many regions for 16 bits
        return ndimage.label(inside, _TOUCHING)


def _region(values: np.ndarray, shares: float, box: Box, placement: Placement) -> Region | None:
    """The region with these values, an area of `shares` places and this box of places; None if it
    only touches the image."""
    sides = placement.in_image(box)
    if sides is None:
        return None
    left, top = math.floor(sides[0]), math.floor(sides[1])
    width, height = math.ceil(sides[2]) - left, math.ceil(sides[3]) - top
    across, down = placement.scale
    return Region(
        *(left, top, width, height),
        area=min(max(1, round(shares * across * down)), width * height),
        peak=float(values.max()),
        mean=float(values.mean(dtype=np.float64)),
    )
