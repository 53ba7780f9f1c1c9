"""A picture of a part on the table, and the mask of its defect."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from transforms.sources.drawn_parts import surfaces
from transforms.sources.drawn_parts.defects import ON_METAL, Surface
from transforms.sources.drawn_parts.scene import SIDE, Scene, random_scene
from transforms.sources.drawn_parts.shapes import coverage, disks, hexagon, ring

GOOD, MISSING_HOLE, WRONG_PART = "good", "missing_hole", "wrong_part"
DEFECTS = (*ON_METAL, MISSING_HOLE, WRONG_PART)

# Radii in pixels, at scale 1.
_OUTER, _BORE, _HOLE_CIRCLE, _HOLE = 88.0, 32.0, 62.0, 10.0
_HOLES = 6
_NUT, _NUT_BORE = 66.0, 34.0
_BEVEL = 4.0


class Drawing(NamedTuple):
    """A picture and its truth.

    Attributes:
      pixels: (256, 256, 3) uint8.
      mask: (256, 256) bool, the pixels of which the defect covers half or more.
    """

    pixels: np.ndarray
    mask: np.ndarray


class _Part(NamedTuple):
    """A part before it is put on the table: (H, W, 3) levels, and the (H, W) shares of each pixel
    that the part and its defect cover."""

    colour: np.ndarray
    covered: np.ndarray
    defect: np.ndarray


def draw_part(rng: np.random.Generator, kind: str) -> Drawing:
    """A part at random.

    Args:
      rng: all that is random comes from it.
      kind: `good`, or one of `DEFECTS`.
    """
    scene = random_scene(rng)
    x, y = scene.part_coordinates()
    light = scene.light - scene.turn
    part = _nut(rng, x, y, light) if kind == WRONG_PART else _washer(rng, x, y, light, kind)
    picture = _on_table(surfaces.table(rng, SIDE), part, scene)
    return Drawing(scene.photographed(rng, picture), part.defect >= 0.5)


def _washer(
    rng: np.random.Generator, x: np.ndarray, y: np.ndarray, light: float, kind: str
) -> _Part:
    """A steel washer with six small holes, or, with that defect, five."""
    missing = int(rng.integers(_HOLES)) if kind == MISSING_HOLE else None
    centres = [_around(hole / _HOLES, _HOLE_CIRCLE) for hole in range(_HOLES) if hole != missing]
    body = np.maximum(ring(x, y, _BORE, _OUTER), -disks(x, y, _HOLE, centres))
    colour = _beveled(surfaces.steel(rng, x, y, light), body, light)
    covered = coverage(body)
    if missing is not None:
        unmade = disks(x, y, _HOLE, [_around(missing / _HOLES, _HOLE_CIRCLE)])
        return _Part(colour, covered, coverage(unmade))
    if kind == GOOD:
        return _Part(colour, covered, np.zeros_like(covered))
    between = (rng.integers(_HOLES) + 0.5 + rng.uniform(-0.12, 0.12)) / _HOLES
    spot = _around(between, rng.uniform(52.0, 70.0))
    painted = ON_METAL[kind](rng, Surface(colour, x, y, light, spot))
    return _Part(painted.colour, covered, np.minimum(painted.covered, covered))


def _nut(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, light: float) -> _Part:
    """A hexagonal brass nut, which is a defect all over."""
    body = np.maximum(hexagon(x, y, _NUT), -disks(x, y, _NUT_BORE, [(0.0, 0.0)]))
    colour = _beveled(surfaces.brass(rng, x, y, light), body, light)
    covered = coverage(body)
    return _Part(colour, covered, covered)


def _around(turn: float, radius: float) -> tuple[float, float]:
    """The point at a share of a full turn around the origin."""
    angle = 2.0 * np.pi * turn
    return radius * float(np.cos(angle)), radius * float(np.sin(angle))


def _beveled(colour: np.ndarray, body: np.ndarray, light: float) -> np.ndarray:
    """Edges that face the light are bright, others dark."""
    down, across = np.gradient(body)
    facing = across * np.cos(light) + down * np.sin(light)
    edge = np.clip(1.0 + body / _BEVEL, 0.0, 1.0)
    return colour * (1.0 + 0.38 * edge * facing)[..., None]


def _on_table(table: np.ndarray, part: _Part, scene: Scene) -> np.ndarray:
    """The part over the table, on which it casts a soft shadow away from the light."""
    offset = (-6.0 * np.sin(scene.light), -6.0 * np.cos(scene.light))
    shadow = ndimage.gaussian_filter(ndimage.shift(part.covered, offset, order=1), 3.5)
    table = table * (1.0 - 0.62 * shadow)[..., None]
    return table + (part.colour - table) * part.covered[..., None]
