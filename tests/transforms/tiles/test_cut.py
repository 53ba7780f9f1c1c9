"""Images in tiles: where they are cut, which tiles are drawn, and how their maps and scores are
combined into those of the image."""

import io
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ae_models.config.configuration import (
    Configuration,
    ImageConfig,
    ScoringConfig,
    TrainingConfig,
)
from ae_models.config.model import AutoencoderConfig
from transforms.images import bands
from transforms.images.decoding import decode_as_is
from transforms.images.orientation import Stored, turned_back, upright
from transforms.records.rejects import Reason, RecordError
from transforms.tiles import cut
from transforms.tiles.canvas import MapCanvas
from transforms.tiles.cut import Grid, cut_image, tile_starts
from transforms.tiles.draw import drawn_tiles, record_of, tile_id
from transforms.tiles.pooling import pooled

ORIENTATION_TAG = 0x0112
SIZES = [(16, 16), (5, 9), (16, 40), (41, 16), (50, 70), (77, 53), (33, 130)]


def _config(tile: int = 16, overlap: int | None = 4) -> ImageConfig:
    return ImageConfig(tile=tile, overlap=overlap, channels=3, bits=8)


def _pixels(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, channels), np.uint8)


def _png(pixels: np.ndarray, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", exif=exif)
    return file.getvalue()


class Sides(NamedTuple):
    """The size of a tile, its overlap, and the side of an image."""

    config: ImageConfig
    side: int


@st.composite
def _sides(draw: st.DrawFn) -> Sides:
    place = draw(st.sampled_from([1, 2, 4]))
    places = draw(st.integers(16, 40) if place == 1 else st.integers(64, 127))
    overlap = draw(st.none() | st.integers(0, places // 2).map(lambda n: n * place))
    config = ImageConfig(tile=places * place, overlap=overlap)
    return Sides(config, draw(st.integers(1, 8 * config.tile_side)))


@given(_sides())
@settings(deadline=None)
def test_tiles_cover_a_side(sides: Sides) -> None:
    config, side = sides
    tile, place = config.tile_side, config.tile_place
    starts = tile_starts(side, config)
    assert starts == sorted(set(starts))
    assert starts[0] == 0
    assert all(start % place == 0 and start < side for start in starts)
    assert (len(starts) == 1) == (side <= tile)
    gaps = np.diff(starts)
    assert (gaps <= config.tile_step).all()
    assert (gaps[:-1] == config.tile_step).all()
    covered = np.zeros(side, bool)
    for start in starts:
        covered[start : start + tile] = True
    assert covered.all()
    # The last tile extends beyond the image by less than a place of the map.
    assert side <= starts[-1] + tile < max(side, tile) + place or len(starts) == 1


def test_an_eighth_of_a_tile_is_shared_where_nothing_is_said() -> None:
    assert tile_starts(300, ImageConfig(tile=64)) == [0, 56, 112, 168, 224, 236]
    assert tile_starts(300, ImageConfig(tile=64, overlap=0)) == [0, 64, 128, 192, 236]
    assert tile_starts(301, ImageConfig(tile=128, overlap=0)) == [0, 128, 174]  # with places of 2


def _padded(pixels: np.ndarray, grid: Grid, tile: int) -> np.ndarray:
    beyond = [
        (0, max(0, starts[-1] + tile - side))
        for starts, side in zip((grid.ys, grid.xs), pixels.shape[:2], strict=True)
    ]
    return np.pad(pixels, [*beyond, (0, 0)], mode="edge")


def _check_tiles(found: cut.CutImage, stored_pixels: np.ndarray, config: ImageConfig) -> None:
    """Collects all tiles before comparing them: none may change when the next is cut."""
    tiles, side = list(found.tiles), config.tile_side
    stored, grid = found.stored, found.grid
    assert (stored.height, stored.width) == stored_pixels.shape[:2]
    assert grid == Grid.of(stored, config)
    assert [(tile.x, tile.y) for tile in tiles] == [(x, y) for y in grid.ys for x in grid.xs]
    assert len(grid) == len(tiles)
    whole = _padded(stored_pixels, grid, side)
    for tile in tiles:
        expected = whole[tile.y : tile.y + side, tile.x : tile.x + side]
        assert tile.pixels.shape == (side, side, stored_pixels.shape[2])
        assert tile.pixels.dtype == stored_pixels.dtype
        np.testing.assert_array_equal(tile.pixels, upright(expected, stored.orientation))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("overlap", [0, 4, 8])
def test_tiles_are_slices_of_the_image(size: tuple[int, int], overlap: int) -> None:
    pixels, config = _pixels(*size), _config(overlap=overlap)
    _check_tiles(cut_image(pixels, config), pixels, config)
    data = _png(pixels)
    _check_tiles(cut_image(memoryview(data), config), pixels, config)


@pytest.mark.parametrize("rows", [1, 3, 16, 17, 200])
def test_however_many_rows_are_decoded_at_a_time(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(cut, "_BAND_ROWS", rows)
    monkeypatch.setattr(bands, "_WHOLE_PIXELS", 100)
    for size in SIZES:
        pixels, config = _pixels(*size), _config()
        data = _png(pixels)
        _check_tiles(cut_image(memoryview(data), config), pixels, config)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiles_are_upright(orientation: int) -> None:
    pixels, config = _pixels(50, 37), _config()
    data = _png(pixels, orientation)
    found = cut_image(memoryview(data), config)
    assert found.stored == Stored(37, 50, orientation)
    _check_tiles(found, pixels, config)
    # The top left corner of the upright image is in the tile at the corresponding stored corner.
    shown = decode_as_is(data, 1 << 20)
    tiles = {(tile.x, tile.y): tile.pixels for tile in cut_image(memoryview(data), config).tiles}
    x = 0 if orientation in (1, 4, 5, 6) else 37 - 16
    y = 0 if orientation in (1, 2, 5, 8) else 50 - 16
    np.testing.assert_array_equal(tiles[x, y], shown[:16, :16])


@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(0, 8),
    st.sampled_from([np.uint8, np.uint16]),
)
@settings(max_examples=60, deadline=None)
def test_raw_pixels_of_any_size(height: int, width: int, overlap: int, dtype: type) -> None:
    pixels = _pixels(height, width).astype(dtype)
    config = ImageConfig(tile=16, overlap=overlap)
    _check_tiles(cut_image(pixels, config), pixels, config)


def test_what_cannot_be_decoded_is_an_error_at_once_or_on_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(RecordError):
        cut_image(memoryview(b"no image"), _config())
    monkeypatch.setattr(bands, "_WHOLE_PIXELS", 100)
    whole = _png(_pixels(200, 40))
    data = whole[: len(whole) // 2]
    found = cut_image(memoryview(data), _config())
    assert len(found.grid) > 20
    with pytest.raises(RecordError) as caught:
        list(found.tiles)
    assert caught.value.reason == Reason.CORRUPT


# Maps.


def _assembled(places: np.ndarray, stored: Stored, config: ImageConfig) -> np.ndarray:
    """A map of the image as stored, cut into maps of upright tiles and reassembled."""
    grid = Grid.of(stored, config)
    canvas = MapCanvas(stored, grid, config)
    place, side = config.tile_place, config.tile_side // config.tile_place
    beyond = [
        (0, max(0, starts[-1] // place + side - own))
        for starts, own in zip((grid.ys, grid.xs), places.shape, strict=True)
    ]
    whole = np.pad(places, beyond, constant_values=1e6)  # outside the image, hence ignored
    for y in grid.ys:
        for x in grid.xs:
            top, left = y // place, x // place
            of_tile = whole[top : top + side, left : left + side]
            canvas.add(x, y, upright(of_tile, stored.orientation))
    return canvas.map()


def _map_size(stored: Stored, config: ImageConfig) -> tuple[int, int]:
    place = config.tile_place
    return -(-stored.height // place), -(-stored.width // place)


CONFIGS = [_config(), _config(overlap=0), _config(overlap=8), _config(tile=128, overlap=16)]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.tile}-{c.overlap}")
def test_a_map_that_was_cut_is_put_together_again(config: ImageConfig, orientation: int) -> None:
    side = config.tile_side
    for height, width in ((side, side), (7, 9), (3 * side + 5, 2 * side - 3), (side, 4 * side)):
        stored = Stored(width, height, orientation)
        places = np.random.default_rng(5).normal(size=_map_size(stored, config))
        found = _assembled(places.astype(np.float32), stored, config)
        assert found.dtype == np.float32
        assert found.shape == places.shape
        np.testing.assert_allclose(found, places, rtol=1e-5, atol=1e-5)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 8), st.integers(1, 8))
@settings(max_examples=80, deadline=None)
def test_a_constant_map_stays_constant(
    height: int, width: int, overlap: int, orientation: int
) -> None:
    config, stored = _config(overlap=overlap), Stored(width, height, orientation)
    places = np.full(_map_size(stored, config), 3.25, np.float32)
    np.testing.assert_allclose(_assembled(places, stored, config), places, rtol=1e-6)


def test_without_an_overlap_each_place_is_that_of_its_own_tile() -> None:
    config, stored = _config(overlap=0), Stored(48, 32)
    places = np.random.default_rng(5).normal(size=(32, 48)).astype(np.float32)
    np.testing.assert_array_equal(_assembled(places, stored, config), places)


def test_between_tiles_that_differ_there_is_a_slope_and_no_step() -> None:
    config, stored = _config(overlap=8), Stored(24, 16)
    grid = Grid.of(stored, config)
    assert grid == Grid([0, 8], [0])
    canvas = MapCanvas(stored, grid, config)
    canvas.add(0, 0, np.zeros((16, 16), np.float32))
    canvas.add(8, 0, np.ones((16, 16), np.float32))
    found = canvas.map()
    np.testing.assert_allclose(found[0], found[15])
    slope = (np.arange(8) + 0.5) / 8
    np.testing.assert_allclose(found[3], [*np.zeros(8), *slope, *np.ones(8)], rtol=1e-6)


def test_the_order_of_tiles_is_of_no_matter_but_for_rounding() -> None:
    config, stored = _config(), Stored(50, 40)
    grid = Grid.of(stored, config)
    places = [(x, y, np.full((16, 16), x - 2 * y, np.float32)) for x in grid.xs for y in grid.ys]
    one, other = (MapCanvas(stored, grid, config) for _ in range(2))
    for tile in places:
        one.add(*tile)
    for tile in reversed(places):
        other.add(*tile)
    np.testing.assert_allclose(one.map(), other.map(), rtol=1e-5, atol=1e-4)


def test_a_map_is_that_of_the_image_as_it_is_stored() -> None:
    config, stored = _config(), Stored(30, 20, 6)
    places = np.zeros((20, 30), np.float32)
    places[2, 25] = 1.0
    np.testing.assert_allclose(_assembled(places, stored, config), places, atol=1e-6)
    np.testing.assert_array_equal(turned_back(upright(places, 6), 6), places)


# Scores and latents.


@pytest.mark.parametrize("count", [1, 2, 9])
@pytest.mark.parametrize("top", [1, 2, 5, 100])
def test_outputs_are_pooled(count: int, top: int) -> None:
    generator = np.random.default_rng(9)
    tiles = {
        "latent_mean": generator.normal(size=(count, 4)).astype(np.float32),
        "latent_stddev": generator.uniform(0.1, 2, (count, 4)).astype(np.float32),
        "score": generator.normal(size=count).astype(np.float32),
        "score_other": generator.normal(size=count).astype(np.float32),
    }
    found = pooled(tiles, top)
    assert found.keys() == tiles.keys()
    assert {values.dtype for values in found.values()} == {np.dtype(np.float32)}
    exact = {name: values.astype(np.float64) for name, values in tiles.items()}
    np.testing.assert_allclose(found["latent_mean"], exact["latent_mean"].mean(0), rtol=1e-6)
    squares = np.square(exact["latent_stddev"]).mean(0)
    np.testing.assert_allclose(np.square(found["latent_stddev"]), squares, rtol=1e-6)
    for name in ("score", "score_other"):
        greatest = sorted(exact[name], reverse=True)[:top]
        assert found[name].shape == ()
        assert found[name] == pytest.approx(np.mean(greatest), rel=1e-6)


def test_a_score_that_is_no_number_is_not_hidden() -> None:
    found = pooled({"score": np.array([1, np.nan, 2], np.float32)}, 1)
    assert np.isnan(found["score"])


# Tiles to train on.


def _drawing(tiles: int = 5, seed: int = 0) -> Configuration:
    return Configuration(
        AutoencoderConfig(),
        image=_config(),
        training=TrainingConfig(tiles=tiles, seed=seed),
        scoring=ScoringConfig(),
    )


def _places(data: memoryview | np.ndarray, record: str, config: Configuration) -> list:
    return [(tile.x, tile.y) for tile in drawn_tiles(data, record, config)]


@pytest.mark.parametrize("tiles", [1, 5, 24, 25, 100])
def test_some_tiles_are_drawn_each_once(tiles: int) -> None:
    pixels = _pixels(60, 70)  # 5 x 6
    config = _drawing(tiles)
    drawn = drawn_tiles(pixels, "a", config)
    everything = {(t.x, t.y): t.pixels for t in cut_image(pixels, config.image).tiles}
    assert len(everything) == 5 * 6
    assert len(drawn) == min(tiles, 30)
    assert len({(tile.x, tile.y) for tile in drawn}) == len(drawn)
    for tile in drawn:
        np.testing.assert_array_equal(tile.pixels, everything[tile.x, tile.y])


def test_a_small_image_is_one_tile() -> None:
    (tile,) = drawn_tiles(_pixels(9, 12), "a", _drawing())
    assert (tile.x, tile.y, tile.pixels.shape) == (0, 0, (16, 16, 3))


def test_which_are_drawn_follows_from_the_id_and_the_seed() -> None:
    pixels = _pixels(60, 70)
    first = _places(pixels, "a", _drawing())
    assert first == _places(pixels, "a", _drawing())
    assert first == _places(_pixels(60, 70)[::-1].copy(), "a", _drawing())
    others = [_places(pixels, "b", _drawing()), _places(pixels, "a", _drawing(seed=1))]
    assert all(set(first) != set(other) for other in others)
    # Each place is drawn for some record.
    seen = {place for n in range(100) for place in _places(pixels, f"r{n}", _drawing())}
    assert len(seen) == 30


def test_encoded_and_raw_images_give_the_same_tiles() -> None:
    pixels = _pixels(60, 70)
    raw = drawn_tiles(pixels, "a", _drawing())
    encoded = drawn_tiles(memoryview(_png(pixels)), "a", _drawing())
    assert [(t.x, t.y) for t in raw] == [(t.x, t.y) for t in encoded]
    for one, other in zip(raw, encoded, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


@pytest.mark.parametrize("record", ["a", "a/b.png", "a#b", "x.parquet#3", "", "#"])
def test_the_id_of_a_tile_tells_that_of_its_image(record: str) -> None:
    (tile,) = drawn_tiles(_pixels(9, 12), record, _drawing())
    assert tile_id(record, tile) == f"{record}#0,0"
    assert record_of(tile_id(record, tile)) == record
