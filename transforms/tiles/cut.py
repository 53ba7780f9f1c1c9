"""Cutting an image into tiles, band by band."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ae_models.config.configuration import ImageConfig
from transforms.images.bands import image_bands, raw_bands
from transforms.images.orientation import Stored, upright

_BAND_ROWS = 32  # decoded at a time


class Tile(NamedTuple):
    """A part of an image.

    Attributes:
      x, y: its leftmost column and topmost row, in pixels of the image as stored.
      pixels: (T, T, C), upright; beyond the image's sides, its outermost pixels are repeated.
    """

    x: int
    y: int
    pixels: np.ndarray


class Grid(NamedTuple):
    """Where the tiles of an image start: one at each of `xs` in each row of `ys`."""

    xs: list[int]
    ys: list[int]

    @classmethod
    def of(cls, stored: Stored, config: ImageConfig) -> "Grid":
        return cls(tile_starts(stored.width, config), tile_starts(stored.height, config))

    def __len__(self) -> int:
        return len(self.xs) * len(self.ys)


def tile_starts(side: int, config: ImageConfig) -> list[int]:
    """Where tiles start along a side: each `overlap` pixels before the end of the previous one; the
    last so that it ends where the image does, rounded up to a place of the map."""
    tile, step, place = config.tile_side, config.tile_step, config.tile_place
    last = -(-max(0, side - tile) // place) * place
    return [*range(0, last, step), last]


class CutImage(NamedTuple):
    """An image as stored, the grid of its tiles, and the tiles, row by row from the top."""

    stored: Stored
    grid: Grid
    tiles: Iterator[Tile]


def cut_image(data: memoryview | np.ndarray, config: ImageConfig) -> CutImage:
    """Cuts an image, encoded or (H, W, C), into tiles. For an encoded image, at most one row of
    tiles is in memory at a time, if its format allows it.

    Raises:
      RecordError: the image cannot be decoded, now or while its tiles are read.
      StageError: the decoders fail for every image.
    """
    side = config.tile_side
    if isinstance(data, memoryview):
        bands = image_bands(data, config, _BAND_ROWS)
    else:
        bands = raw_bands(data, config, _BAND_ROWS)
    grid = Grid.of(bands.stored, config)
    rows = _tile_rows(bands.rows, grid.ys, side)
    return CutImage(bands.stored, grid, _tiles(rows, grid, side, bands.stored))


def _tile_rows(bands: Iterator[np.ndarray], ys: list[int], side: int) -> Iterator[np.ndarray]:
    """Yields the image's rows for each row of tiles, (side, W, C), in one array that is
    reused."""
    band = next(bands)
    held = np.empty((side, *band.shape[1:]), band.dtype)
    top = count = 0  # where the rows in memory start, and their number
    for y in ys:
        kept = max(0, top + count - y)
        held[:kept] = held[count - kept : count].copy()
        top, count = y, kept
        while count < side and (len(band) or len(band := next(bands, band))):
            taken = band[: side - count]
            held[count : count + len(taken)] = taken
            count, band = count + len(taken), band[len(taken) :]
        yield _extended(held[:count], side, axis=0)


def _tiles(rows: Iterator[np.ndarray], grid: Grid, side: int, stored: Stored) -> Iterator[Tile]:
    for y, row in zip(grid.ys, rows, strict=True):
        for x in grid.xs:
            pixels = _extended(row[:, x : x + side].copy(), side, axis=1)
            yield Tile(x, y, upright(pixels, stored.orientation))


def _extended(pixels: np.ndarray, side: int, axis: int) -> np.ndarray:
    """The pixels with the last row or column repeated, up to `side` of them."""
    if pixels.shape[axis] == side:
        return pixels
    padding = [(0, 0)] * pixels.ndim
    padding[axis] = (0, side - pixels.shape[axis])
    return np.pad(pixels, padding, mode="edge")
