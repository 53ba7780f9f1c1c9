"""The map of an image, and a picture of it, assembled from those of its tiles."""

import numpy as np

from ae_models.config.configuration import ImageConfig
from transforms.images.orientation import Stored, turned_back
from transforms.tiles.cut import Grid


class MapCanvas:
    """A map of the image as stored. Where tiles overlap, their mean is used, weighted by the
    distance of a place from each tile's edge, so that no seam is visible.

    Memory is 4 bytes per place, which is some 16 pixels.

    Args:
      stored: the image.
      grid: the grid of its tiles.
      config: the image configuration of the tiles.
    """

    def __init__(self, stored: Stored, grid: Grid, config: ImageConfig):
        self._place, self._orientation = config.tile_place, stored.orientation
        self._ramp = _ramp(config.tile_side // self._place, config.tile_overlap // self._place)
        height, width = (-(-side // self._place) for side in (stored.height, stored.width))
        self._sum = np.zeros((height, width), np.float32)
        self._weights = [
            self._weight(starts, size) for starts, size in ((grid.ys, height), (grid.xs, width))
        ]

    def _weight(self, starts: list[int], size: int) -> np.ndarray:
        """The summed weights of all tiles along one side, (size,)."""
        weights = np.zeros(size, np.float32)
        for start in starts:
            first = start // self._place
            weights[first : first + len(self._ramp)] += self._ramp[: size - first]
        return weights

    def add(self, x: int, y: int, places: np.ndarray) -> None:
        """Adds the map of a tile, (h, w), that starts at pixel (x, y)."""
        places = turned_back(places, self._orientation)
        left, top = x // self._place, y // self._place
        within = self._sum[top : top + len(places), left : left + places.shape[1]]
        weights = np.outer(self._ramp, self._ramp)
        within += (places * weights)[: within.shape[0], : within.shape[1]]

    def map(self) -> np.ndarray:
        """The finished map, (h, w) float32, once all tiles have been added."""
        rows, columns = self._weights
        result = self._sum
        result /= rows[:, None]
        result /= columns
        return result


class PixelCanvas:
    """An image, oriented as stored, at the size of its map: the mean pixel of each place.

    Args:
      stored: the image.
      config: the image configuration of its tiles.
    """

    def __init__(self, stored: Stored, config: ImageConfig):
        self._place, self._orientation = config.tile_place, stored.orientation
        height, width = (-(-side // self._place) for side in (stored.height, stored.width))
        self.pixels = np.zeros((height, width, config.shape[-1]), config.dtype)

    def add(self, x: int, y: int, pixels: np.ndarray) -> None:
        """Adds the pixels of a tile, (T, T, C), that starts at pixel (x, y)."""
        side, channels = len(pixels) // self._place, pixels.shape[-1]
        blocks = turned_back(pixels, self._orientation).reshape(
            side, self._place, side, self._place, channels
        )
        left, top = x // self._place, y // self._place
        within = self.pixels[top : top + side, left : left + side]
        means = np.rint(blocks.mean(axis=(1, 3), dtype=np.float32))
        within[:] = means[: within.shape[0], : within.shape[1]].astype(within.dtype)


def _ramp(places: int, overlap: int) -> np.ndarray:
    """Weights along a tile, (places,): rising over the overlap, 1 in between, then falling."""
    steps = np.arange(places, dtype=np.float32) + 0.5
    edge = np.minimum(steps, places - steps)
    return np.minimum(1.0, edge / overlap) if overlap else np.ones(places, np.float32)
