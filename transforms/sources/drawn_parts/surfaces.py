"""Materials: brushed steel for the table, turned steel and brass for parts. Levels are linear, 0 to
1 per channel, before light and grain."""

import numpy as np
from scipy import ndimage

_TABLE = np.array([0.235, 0.255, 0.28])
_STEEL = np.array([0.60, 0.61, 0.625])
_BRASS = np.array([0.70, 0.53, 0.24])
_SMALL = 1e-9
_STROKE = 49  # pixels; three passes of a box of this length make a stroke


def table(rng: np.random.Generator, side: int) -> np.ndarray:
    """(side, side, 3) of brushed metal, its strokes horizontal."""
    strokes = ndimage.gaussian_filter1d(rng.standard_normal((side, side)), 0.7, axis=0)
    for _ in range(3):
        strokes = ndimage.uniform_filter1d(strokes, _STROKE, axis=1)
    return _TABLE * (1.0 + 0.10 * _unit(strokes))[..., None]


def turned(
    rng: np.random.Generator, x: np.ndarray, y: np.ndarray, light: float, colour: np.ndarray
) -> np.ndarray:
    """(H, W, 3) of metal from a lathe: fine rings around the origin, and the two bright fans in
    which rings reflect light from the direction `light`, in radians."""
    radius = np.maximum(np.hypot(x, y), _SMALL)
    marks = _unit(ndimage.gaussian_filter1d(rng.standard_normal(2048), 1.2))
    rings = np.interp(radius * 4.0, np.arange(len(marks)), marks)
    fans = ((x * np.cos(light) + y * np.sin(light)) / radius) ** 2
    return colour * (0.78 + 0.42 * fans + 0.030 * rings)[..., None]


def steel(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, light: float) -> np.ndarray:
    """(H, W, 3): what the parts are made of."""
    return turned(rng, x, y, light, _STEEL)


def brass(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, light: float) -> np.ndarray:
    """(H, W, 3): what the wrong part is made of."""
    return turned(rng, x, y, light, _BRASS)


def _unit(noise: np.ndarray) -> np.ndarray:
    return (noise - noise.mean()) / noise.std()
