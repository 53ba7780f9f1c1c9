"""The picture of an image in tiles: the mean pixel of each place of its map."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ae_models.config.configuration import ImageConfig
from transforms.images.orientation import Stored, upright
from transforms.tiles.canvas import PixelCanvas
from transforms.tiles.cut import Grid, Tile, cut_image

# The side of tiles, their overlap, and the width of a place of the map in pixels.
LAYOUTS = [(16, 0, 1), (16, 4, 1), (40, 20, 1), (128, 16, 2), (130, 64, 2), (256, 32, 4)]


def _config(tile: int, overlap: int, channels: int = 3, bits: int = 8) -> ImageConfig:
    return ImageConfig(tile=tile, overlap=overlap, channels=channels, bits=bits)


def _pixels(size: tuple[int, int], channels: int, bits: int = 8) -> np.ndarray:
    kind: Any = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(7).integers(0, 1 << bits, (*size, channels), kind)


def _tiles(pixels: np.ndarray, stored: Stored, config: ImageConfig) -> list[Tile]:
    """Tiles cut independently; beyond the sides, the outermost pixels are repeated."""
    (xs, ys), side = Grid.of(stored, config), config.tile_side
    beyond = [
        (0, max(0, starts[-1] + side - length))
        for starts, length in ((ys, stored.height), (xs, stored.width))
    ]
    whole = np.pad(pixels, [*beyond, (0, 0)], mode="edge")
    return [
        Tile(x, y, upright(whole[y : y + side, x : x + side], stored.orientation))
        for y in ys
        for x in xs
    ]


def _means(pixels: np.ndarray, place: int) -> np.ndarray:
    """The mean of each place, computed one by one."""
    height, width, channels = pixels.shape
    beyond = [(0, -height % place), (0, -width % place), (0, 0)]
    whole = np.pad(pixels, beyond, mode="edge").astype(np.float64)
    rows, columns = whole.shape[0] // place, whole.shape[1] // place
    result = np.zeros((rows, columns, channels))
    for row in range(rows):
        for column in range(columns):
            block = whole[row * place : (row + 1) * place, column * place : (column + 1) * place]
            result[row, column] = block.reshape(-1, channels).mean(axis=0)
    return np.rint(result).astype(pixels.dtype)


def _check(
    size: tuple[int, int], config: ImageConfig, orientation: int = 1, backward: bool = False
) -> None:
    height, width = size
    pixels = _pixels(size, config.channels or 3, config.bits or 8)
    stored = Stored(width, height, orientation)
    canvas = PixelCanvas(stored, config.of_frame())
    tiles = _tiles(pixels, stored, config)
    for tile in reversed(tiles) if backward else tiles:
        canvas.add(tile.x, tile.y, tile.pixels)
    assert canvas.pixels.dtype == np.dtype(config.dtype)
    np.testing.assert_array_equal(canvas.pixels, _means(pixels, config.tile_place))


@pytest.mark.parametrize(("tile", "overlap", "place"), LAYOUTS)
def test_each_place_has_its_mean_pixel(tile: int, overlap: int, place: int) -> None:
    config = _config(tile, overlap)
    assert config.tile_place == place
    sizes = [
        (tile, tile),
        (2 * tile, tile + 1),
        (tile - 1, 3 * tile - 3),
        (tile // 2 + 1, tile // 3),
        (1, 1),
        (2 * tile - overlap, 2 * tile - overlap + place),
    ]
    for size in sizes:
        _check(size, config)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("tile", "overlap"), [(16, 4), (128, 16), (256, 64)])
def test_it_lies_as_the_file_holds_the_image(tile: int, overlap: int, orientation: int) -> None:
    for size in ((2 * tile + 3, tile + 5), (tile // 2 + 1, 2 * tile - 1)):
        _check(size, _config(tile, overlap), orientation)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_levels_of_every_kind_are_kept(channels: int, bits: int) -> None:
    """Also if all pixels are white, which gives the greatest sum."""
    config = _config(256, 32, channels, bits)
    _check((301, 270), config)
    white = np.full((256, 256, channels), (1 << bits) - 1, config.dtype)
    canvas = PixelCanvas(Stored(256, 256), config.of_frame())
    canvas.add(0, 0, white)
    assert (canvas.pixels == (1 << bits) - 1).all()


@given(
    st.sampled_from(LAYOUTS),
    st.tuples(st.integers(1, 330), st.integers(1, 330)),
    st.integers(1, 8),
    st.booleans(),
)
@example((128, 16, 2), (129, 241), 5, True)
@settings(max_examples=40, deadline=None)
def test_of_any_size_and_in_any_order(
    layout: tuple[int, int, int], size: tuple[int, int], orientation: int, backward: bool
) -> None:
    limit = 4 * layout[0]  # otherwise there would be hundreds of small tiles
    bounded = (min(size[0], limit), min(size[1], limit))
    _check(bounded, _config(*layout[:2]), orientation, backward)


def test_tiles_are_taken_as_they_are_cut() -> None:
    config, pixels = _config(128, 16), _pixels((301, 222), 3)
    found = cut_image(pixels, config)
    canvas = PixelCanvas(found.stored, config.of_frame())
    for tile in found.tiles:
        canvas.add(tile.x, tile.y, tile.pixels)
    np.testing.assert_array_equal(canvas.pixels, _means(pixels, 2))
