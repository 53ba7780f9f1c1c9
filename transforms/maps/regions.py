"""Regions of a map above a threshold: where an image is anomalous, as boxes."""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from transforms.maps.placement import Placement

_TOUCHING = np.ones((3, 3), bool)  # places of one region may touch at a corner


class Region(NamedTuple):
    """A connected part of an image.

    Attributes:
      x, y: of its leftmost column and topmost row, in pixels of the image as it is stored.
      width, height: of the box around it, in pixels.
      area: of its places, in pixels of the image, rounded.
      peak, mean: of the map's values in it.
    """

    x: int
    y: int
    width: int
    height: int
    area: int
    peak: float
    mean: float


def find_regions(places: np.ndarray, placement: Placement, threshold: float) -> list[Region]:
    """The connected regions where a map is at or above a threshold, the highest peak first.

    Args:
      places: (h, w) float32, the map of a frame.
      placement: where the image lies in the map; what lies beside it is no region.
      threshold: the least value that is in a region.
    """
    if not places.max() >= threshold:
        return []
    top, left, within = _extent(places, threshold)
    labels, count = _labelled(within >= threshold)
    regions = []
    for number, slices in enumerate(ndimage.find_objects(labels, count), 1):
        rows, columns = slices
        sides = (columns.start + left, rows.start + top, columns.stop + left, rows.stop + top)
        box = placement.in_image(sides)
        if box is not None:
            inside = labels[slices] == number
            regions.append(_region(within[slices][inside], box, placement))
    return sorted(regions, key=lambda region: (-region.peak, region.y, region.x))


def _extent(places: np.ndarray, threshold: float) -> tuple[int, int, np.ndarray]:
    """The part of a map that all regions lie in, and where its rows and columns begin."""
    ends = []
    for axis in (1, 0):
        found = np.flatnonzero(places.max(axis=axis) >= threshold)
        ends.append((int(found[0]), int(found[-1]) + 1))
    (top, bottom), (left, right) = ends
    return top, left, places[top:bottom, left:right]


def _labelled(inside: np.ndarray) -> tuple[np.ndarray, int]:
    """Numbers of regions from 1, and how many there are; in two bytes a place, if these do."""
    labels: Any = np.empty(inside.shape, np.uint16)
    try:
        return labels, ndimage.label(inside, _TOUCHING, output=labels)
    except RuntimeError:  # too many for so small numbers
        return ndimage.label(inside, _TOUCHING)


def _region(values: np.ndarray, box: tuple[float, ...], placement: Placement) -> Region:
    left, top = math.floor(box[0]), math.floor(box[1])
    width, height = math.ceil(box[2]) - left, math.ceil(box[3]) - top
    across, down = placement.scale
    return Region(
        *(left, top, width, height),
        area=min(max(1, round(len(values) * across * down)), width * height),
        peak=float(values.max()),
        mean=float(values.mean(dtype=np.float64)),
    )
