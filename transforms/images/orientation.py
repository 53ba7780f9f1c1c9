"""EXIF orientation: images as stored in files, and upright."""

from typing import NamedTuple

import numpy as np

SIDEWAYS = (5, 6, 7, 8)  # orientations that swap rows and columns
_RIGHT_TO_LEFT, _BOTTOM_UP = (2, 3, 6, 7), (3, 4, 7, 8)  # after that swap


class Stored(NamedTuple):
    """How a file stores its image: its width and height as stored, in pixels, and the EXIF number
    that states how to make it upright, 1 if it already is."""

    width: int
    height: int
    orientation: int = 1

    @property
    def upright(self) -> tuple[int, int]:
        """(height, width) of the upright image."""
        if self.orientation in SIDEWAYS:
            return self.width, self.height
        return self.height, self.width


def known_orientation(number: object) -> int:
    """The number, or 1 if it is not one of EXIF's eight numbers."""
    return number if isinstance(number, int) and 1 <= number <= 8 else 1


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, ...) as stored → upright."""
    if orientation in SIDEWAYS:
        pixels = pixels.swapaxes(0, 1)
    if orientation in _RIGHT_TO_LEFT:
        pixels = pixels[:, ::-1]
    if orientation in _BOTTOM_UP:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def turned_back(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The inverse of `upright`."""
    if orientation in _BOTTOM_UP:
        pixels = pixels[::-1]
    if orientation in _RIGHT_TO_LEFT:
        pixels = pixels[:, ::-1]
    if orientation in SIDEWAYS:
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels)


def upright_box(
    box: tuple[float, float, float, float], size: tuple[int, int], orientation: int
) -> tuple[float, float, float, float]:
    """Converts a box, (left, top, right, bottom), in a stored image of `size`, (height, width), to
    a box in the upright image."""
    (left, top, right, bottom), (height, width) = box, size
    if orientation in SIDEWAYS:
        left, top, right, bottom = top, left, bottom, right
        height, width = width, height
    if orientation in _RIGHT_TO_LEFT:
        left, right = width - right, width - left
    if orientation in _BOTTOM_UP:
        top, bottom = height - bottom, height - top
    return left, top, right, bottom


def stored_box(
    box: tuple[float, float, float, float], stored: Stored
) -> tuple[float, float, float, float]:
    """The inverse of `upright_box`: converts a box in the upright image to one in the stored."""
    (left, top, right, bottom), (height, width) = box, stored.upright
    if stored.orientation in _BOTTOM_UP:
        top, bottom = height - bottom, height - top
    if stored.orientation in _RIGHT_TO_LEFT:
        left, right = width - right, width - left
    if stored.orientation in SIDEWAYS:
        return top, left, bottom, right
    return left, top, right, bottom
