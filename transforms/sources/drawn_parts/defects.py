"""Defects of a part's surface: each paints over the metal and says which pixels it covers."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from transforms.sources.drawn_parts.shapes import coverage, polyline

_SMALL = 1e-9  # pixels
_FAINTEST = 0.3  # of the contrast of the strongest defects
_RUST = np.array([0.34, 0.21, 0.12])


class Painted(NamedTuple):
    """Metal with a defect.

    Attributes:
      colour: (H, W, 3) levels.
      covered: (H, W) the share of each pixel that the defect covers, 0 to 1.
    """

    colour: np.ndarray
    covered: np.ndarray


class Surface(NamedTuple):
    """Where a defect is painted.

    Attributes:
      colour: (H, W, 3) levels of the metal.
      x, y: (H, W) pixels from the centre of the part, at scale 1.
      light: the direction that light comes from, in radians.
      spot: (x, y) on the metal, clear of edges and holes.
    """

    colour: np.ndarray
    x: np.ndarray
    y: np.ndarray
    light: float
    spot: tuple[float, float]


def scratch(rng: np.random.Generator, surface: Surface) -> Painted:
    """A bent line of bright metal with a dark flank."""
    length, heading = rng.uniform(42, 70), rng.uniform(0, np.pi)
    along = np.linspace(-0.5, 0.5, 9) * length
    across = rng.uniform(-10, 10) * (along / length) ** 2 + rng.normal(0, 0.35, along.size)
    cos, sin = np.cos(heading), np.sin(heading)
    points = np.column_stack((along * cos - across * sin, along * sin + across * cos))
    distance = polyline(surface.x, surface.y, points + surface.spot)
    width, strength = rng.uniform(1.3, 2.4), _strength(rng)
    groove, core = coverage(distance - width), coverage(distance - width / 2)
    dark = surface.colour * (1.0 - 0.55 * strength)
    bright = surface.colour * (1.0 + 0.45 * strength)
    colour = _over(_over(surface.colour, dark, groove), bright, core)
    return Painted(colour, groove)


def dent(rng: np.random.Generator, surface: Surface) -> Painted:
    """A round hollow, dark on the side of the light and bright on the other."""
    wide, narrow = rng.uniform(8.0, 12.5), rng.uniform(6.0, 8.5)
    turn, strength = rng.uniform(0, np.pi), _strength(rng)
    x, y = surface.x - surface.spot[0], surface.y - surface.spot[1]
    u = (x * np.cos(turn) + y * np.sin(turn)) / wide
    v = (y * np.cos(turn) - x * np.sin(turn)) / narrow
    radius = np.hypot(u, v)
    slope = np.where(radius < 1.0, np.sin(np.pi * radius), 0.0)
    towards = x * np.cos(surface.light) + y * np.sin(surface.light)
    away = -towards / np.maximum(np.hypot(x, y), _SMALL)
    depth = np.clip(1.0 - radius, 0.0, None)
    shade = 1.0 + strength * (0.55 * slope * away - 0.18 * depth)
    return Painted(surface.colour * shade[..., None], coverage((radius - 1.0) * narrow))


def stain(rng: np.random.Generator, surface: Surface) -> Painted:
    """A blot of rust with a ragged edge."""
    radius, strength = rng.uniform(8.0, 16.0), _strength(rng)
    x, y = surface.x - surface.spot[0], surface.y - surface.spot[1]
    ragged = ndimage.gaussian_filter(rng.standard_normal(x.shape), 5.0)
    ragged = 2.2 * ragged / ragged.std()
    covered = coverage(np.hypot(x, y) - radius + ragged, softness=4.0)
    mottled = ndimage.gaussian_filter(rng.standard_normal(x.shape), 1.5)
    rust = _RUST * (1.0 + 0.15 * mottled / mottled.std())[..., None]
    return Painted(_over(surface.colour, rust, 0.8 * strength * covered), covered)


ON_METAL: dict[str, Callable[[np.random.Generator, Surface], Painted]] = {
    "scratch": scratch,
    "dent": dent,
    "stain": stain,
}


def _strength(rng: np.random.Generator) -> float:
    """Some defects are plain, some are faint."""
    return float(rng.uniform(_FAINTEST, 1.0))


def _over(below: np.ndarray, above: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """`above` over `below`, where and as far as it covers."""
    return below + (above - below) * covered[..., None]
