"""Cutting an image into tiles, band by band."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ae_models.config.configuration import ImageConfig
from transforms.images.bands import image_bands, raw_bands
from transforms.images.orientation import Stored, upright

_BAND_ROWS = 32  # that are decoded at a time


class Tile(NamedTuple):
    """A part of an image.

    Attributes:
      x, y: of its leftmost column and topmost row, in pixels of the image as it is stored.
      pixels: (T, T, C), upright; beyond the image's sides, its outermost pixels once more.
    """

    x: int
    y: int
    pixels: np.ndarray


class Grid(NamedTuple):
    """Where the tiles of an image begin: each of the rows `ys` has one at each of `xs`."""

    xs: list[int]
    ys: list[int]

    @classmethod
    def of(cls, stored: Stored, config: ImageConfig) -> "Grid":
        return cls(tile_starts(stored.width, config), tile_starts(stored.height, config))

    def __len__(self) -> int:
        return len(self.xs) * len(self.ys)


def tile_starts(side: int, config: ImageConfig) -> list[int]:
    """Where tiles begin along a side: each `overlap` pixels before the end of the one before it,
    the last where the image ends, but for less than a place of the map."""
    tile, step, place = config.tile_side, config.tile_step, config.tile_place
    last = -(-max(0, side - tile) // place) * place
    return [*range(0, last, step), last]


class CutImage(NamedTuple):
    """An image as it is stored, where its tiles are, and these, row by row from the top."""

    stored: Stored
    grid: Grid
    tiles: Iterator[Tile]


def cut_image(data: memoryview | np.ndarray, config: ImageConfig) -> CutImage:
    """The tiles of an image, encoded or (H, W, C); of an encoded one no more than a row of them is
    in memory at a time, where its format allows that.

    Raises:
      RecordError: it cannot be decoded, at once or when its tiles are taken.
      StageError: the decoders fail for any image.
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
    """The image's rows of each row of tiles, (side, W, C): in one array, that changes from each to
    the next."""
    band = next(bands)
    held = np.empty((side, *band.shape[1:]), band.dtype)
    top = count = 0  # of the rows that are held, and where they begin
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
    """The last row or column once more, up to `side` of them."""
    if pixels.shape[axis] == side:
        return pixels
    padding = [(0, 0)] * pixels.ndim
    padding[axis] = (0, side - pixels.shape[axis])
    return np.pad(pixels, padding, mode="edge")
