"""What differs from one picture to the next without being a defect."""

import dataclasses

import numpy as np
from scipy import ndimage

SIDE = 256  # pixels
_OPTICS = 0.6  # standard deviation, in pixels, of the lens's blur


@dataclasses.dataclass(frozen=True)
class Scene:
    """Where the part is, and how it is lit and photographed.

    Attributes:
      centre: of the part, (x, y) in pixels.
      scale: of the part.
      turn: of the part, in radians.
      light: the direction that light comes from, in radians.
      brightness: of the light.
      warmth: the share by which red is brighter and blue is darker.
      fall: the share of light lost from the near side of the picture to the far one.
      grain: standard deviation of the sensor's noise, in levels of 255.
    """

    centre: tuple[float, float]
    scale: float
    turn: float
    light: float
    brightness: float
    warmth: float
    fall: float
    grain: float

    def part_coordinates(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y of each pixel, (256, 256), from the centre of the part at scale 1."""
        rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
        x, y = columns - self.centre[0], rows - self.centre[1]
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        return (x * cos + y * sin) / self.scale, (y * cos - x * sin) / self.scale

    def photographed(self, rng: np.random.Generator, levels: np.ndarray) -> np.ndarray:
        """(256, 256, 3) levels of 0 to 1 as the camera records them, uint8."""
        rows, columns = np.mgrid[:SIDE, :SIDE] / (SIDE - 1) - 0.5
        towards = columns * np.cos(self.light) + rows * np.sin(self.light)
        lit = self.brightness * (1.0 + self.fall * towards)
        tint = np.array([1.0 + self.warmth, 1.0, 1.0 - self.warmth])
        sharp = levels * lit[..., None] * tint
        seen = ndimage.gaussian_filter(sharp, (_OPTICS, _OPTICS, 0.0)) * 255.0
        grain = rng.normal(0.0, self.grain, seen.shape)
        return np.clip(np.rint(seen + grain), 0, 255).astype(np.uint8)


def random_scene(rng: np.random.Generator) -> Scene:
    """A scene at random: the part within a few pixels and degrees of where a fixture would put it,
    and light that drifts over a shift."""
    return Scene(
        centre=(SIDE / 2 + rng.uniform(-10, 10), SIDE / 2 + rng.uniform(-10, 10)),
        scale=rng.uniform(0.93, 1.05),
        turn=rng.uniform(-0.12, 0.12),
        light=-2.2 + rng.uniform(-0.35, 0.35),
        brightness=rng.uniform(0.90, 1.10),
        warmth=rng.uniform(-0.03, 0.03),
        fall=rng.uniform(0.10, 0.24),
        grain=rng.uniform(1.5, 3.5),
    )
