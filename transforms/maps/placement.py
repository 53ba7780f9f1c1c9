"""Conversion between the map of a frame and the image as stored in its file."""

import dataclasses
import functools

import numpy as np
from PIL import Image

from ae_models.config.configuration import ImageConfig
from transforms.images.fitting import Box, Fitted, fitted
from transforms.images.orientation import Stored, stored_box, turned_back

_MOST_TIMES = 16


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where an image is in the map of the frame that it was fitted to.

    Attributes:
      stored: the size and orientation of the image in its file.
      fitted: where the upright image is in the frame.
      places: the width and height of a place of the map, in pixels of the frame.
    """

    stored: Stored
    fitted: Fitted
    places: tuple[float, float]

    @classmethod
    def of(cls, stored: Stored, config: ImageConfig, size: tuple[int, int]) -> "Placement":
        """The placement of an image in maps of `size`, (h, w)."""
        height, width, _ = config.shape
        return cls(stored, _fitted(stored.upright, config), (width / size[1], height / size[0]))

    @classmethod
    def as_stored(cls, stored: Stored, places: tuple[float, float]) -> "Placement":
        """The placement of an image in a map of its stored rows, whose places have this width and
        height in pixels; the map may extend beyond the image to the right and below."""
        whole = (0.0, 0.0, float(stored.width), float(stored.height))
        rows = stored._replace(orientation=1)
        return cls(rows, Fitted(whole, (0, 0, stored.width, stored.height)), places)

    def sized(self, places: np.ndarray, pixels: np.ndarray) -> "Placement":
        """The same placement in the frame's pixels, (H, W, C), instead of its map, (h, w)."""
        across, down = (
            own * count / pixel_count
            for own, count, pixel_count in zip(
                self.places, places.shape[::-1], pixels.shape[1::-1], strict=True
            )
        )
        return dataclasses.replace(self, places=(across, down))

    @functools.cached_property
    def scale(self) -> tuple[float, float]:
        """The width and height of a place of the map, in pixels of the upright image."""
        (left, top, right, bottom), (x, y, to_x, to_y) = self.fitted
        across, down = self.places
        return across * (right - left) / (to_x - x), down * (bottom - top) / (to_y - y)

    def shares(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """The share of each row, (h,), and of each column, (w,), of a map of `size` that the image
        covers, from 0 to 1."""
        x, y, to_x, to_y = self.fitted.place
        (across, down), (height, width) = self.places, size
        return _overlap(y / down, to_y / down, height), _overlap(x / across, to_x / across, width)

    def in_image(self, box: Box) -> Box | None:
        """A box of places, clipped to the image, in pixels of the image as stored; None if the box
        is entirely outside the image."""
        (left, top, _, _), (x, y, _, _) = self.fitted
        height, width = self.stored.upright
        sides = []
        for low, high, scale, place, origin, start, size in (
            (box[0], box[2], self.scale[0], self.places[0], x, left, width),
            (box[1], box[3], self.scale[1], self.places[1], y, top, height),
        ):
            # Rounded, so that an end on a pixel boundary is exact.
            ends = [round(start + (end - origin / place) * scale, 6) for end in (low, high)]
            sides.append((max(0.0, ends[0]), min(float(size), ends[1])))
        (x0, x1), (y0, y1) = sides
        return stored_box((x0, y0, x1, y1), self.stored) if x0 < x1 and y0 < y1 else None

    def map_of_image(self, places: np.ndarray) -> np.ndarray:
        """(h, w) float32, of the frame → (h', w') float32, of the entire image as stored; NaN where
        the frame does not show it. The scale is `scale`, except for rounding, and coarser where the
        result would have more than 16 times the places, as for a thin image cropped to a square."""
        (left, top, right, bottom), (x, y, to_x, to_y) = self.fitted
        across, down = self.places
        height, width = self.stored.upright
        size = (max(1, round(height / self.scale[1])), max(1, round(width / self.scale[0])))
        if (excess := size[0] * size[1] / (_MOST_TIMES * places.size)) > 1:
            size = (max(1, int(size[0] / excess**0.5)), max(1, int(size[1] / excess**0.5)))
        shown = [
            round(end / side * count)
            for end, side, count in (
                (left, width, size[1]),
                (top, height, size[0]),
                (right, width, size[1]),
                (bottom, height, size[0]),
            )
        ]
        inner = (max(1, shown[3] - shown[1]), max(1, shown[2] - shown[0]))
        box = (x / across, y / down, to_x / across, to_y / down)
        cut = _cut(places, box, inner)
        if inner == size:
            return turned_back(cut, self.stored.orientation)
        result = np.full(size, np.nan, np.float32)
        start = min(shown[1], size[0] - inner[0]), min(shown[0], size[1] - inner[1])
        result[start[0] : start[0] + inner[0], start[1] : start[1] + inner[1]] = cut
        return turned_back(result, self.stored.orientation)

    def pixels_of_image(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W, C) of the frame → (H', W', C) float32 of the entire image, as in `map_of_image`;
        NaN where the frame does not show it."""
        planes = [
            self.map_of_image(pixels[..., channel].astype(np.float32))
            for channel in range(pixels.shape[-1])
        ]
        return np.stack(planes, axis=-1)


def _overlap(low: float, high: float, count: int) -> np.ndarray:
    """The share of each of `count` places that is between two ends, (count,)."""
    starts = np.arange(count)
    return np.clip(np.minimum(starts + 1, high) - np.maximum(starts, low), 0.0, 1.0)


@functools.lru_cache(maxsize=4096)
def _fitted(size: tuple[int, int], config: ImageConfig) -> Fitted:
    return fitted(size, config)


def _cut(places: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    """The box of a map at `size`, (height, width), interpolated linearly between place centres."""
    whole = (0.0, 0.0, float(places.shape[1]), float(places.shape[0]))
    if box == whole and size == places.shape:
        return places
    image = Image.fromarray(np.ascontiguousarray(places, np.float32))
    resized = image.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized)
