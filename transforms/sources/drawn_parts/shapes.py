"""Shapes as signed distances in pixels, negative inside, and how they cover pixels."""

import itertools
from collections.abc import Sequence

import numpy as np

_HEXAGON = np.array([(1.0, 0.0), (0.5, np.sqrt(0.75)), (-0.5, np.sqrt(0.75))])


def coverage(distance: np.ndarray, softness: float = 1.0) -> np.ndarray:
    """The share of each pixel that a shape covers, 0 to 1: antialiased over `softness` pixels."""
    return np.clip(0.5 - distance / softness, 0.0, 1.0)


def disks(
    x: np.ndarray, y: np.ndarray, radius: float, centres: Sequence[tuple[float, float]]
) -> np.ndarray:
    """Signed distance to the nearest of the disks around `centres`."""
    squares = [np.square(x - at_x) + np.square(y - at_y) for at_x, at_y in centres]
    return np.sqrt(np.minimum.reduce(squares)) - radius


def ring(x: np.ndarray, y: np.ndarray, inner: float, outer: float) -> np.ndarray:
    """Signed distance to an annulus around the origin."""
    radius = np.hypot(x, y)
    return np.maximum(radius - outer, inner - radius)


def hexagon(x: np.ndarray, y: np.ndarray, inradius: float) -> np.ndarray:
    """Signed distance, exact along the sides, to a regular hexagon around the origin."""
    across = [np.abs(x * nx + y * ny) for nx, ny in _HEXAGON]
    return np.maximum.reduce(across) - inradius


def polyline(x: np.ndarray, y: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance to the nearest of the segments between `points`, (N, 2) as (x, y)."""
    nearest = np.full(x.shape, np.inf)
    for (ax, ay), (bx, by) in itertools.pairwise(points):
        dx, dy = bx - ax, by - ay
        along = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0.0, 1.0)
        nearest = np.minimum(nearest, np.hypot(x - ax - along * dx, y - ay - along * dy))
    return nearest
