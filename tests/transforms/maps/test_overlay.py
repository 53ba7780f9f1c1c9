"""Maps as heat over images: how large, how bright, where, and boxes around regions."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from ae_models.config.configuration import ImageConfig
from transforms.images.orientation import Stored, turned_back
from transforms.maps.overlay import Located, heat_over, located
from transforms.maps.pictures import Shades
from transforms.maps.placement import Placement
from transforms.maps.regions import find_regions

BOX = (0, 190, 255)
SHADES = Shades(0.0, 0.5)
AROUND = 3
SIDES = tuple[int, int, int, int]  # left, top, right and bottom outermost pixels


def _config(height: int, width: int, fit: Any = "pad") -> ImageConfig:
    return ImageConfig(width=width, height=height, channels=1, bits=8, fit=fit)


def _plain(shape: tuple[int, int], by: int = 1) -> Placement:
    """The placement of an image whose sides are `by` times those of its frame and of the map."""
    height, width = shape
    return Placement.of(Stored(width * by, height * by), _config(height, width), shape)


def _noise(shape: tuple[int, ...], dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype)


def _of(pixels: np.ndarray, places: np.ndarray | None = None, worst: float = 1.0) -> Located:
    """The pictures of an image that equals its frame, without regions."""
    shape = pixels.shape[:2]
    own = np.zeros(shape, np.float32) if places is None else places
    placement = Placement.of(Stored(shape[1], shape[0]), _config(*shape), own.shape)
    return located(pixels, own, placement, [], Shades(0.0, worst / 2))


def _boxed(overlay: np.ndarray) -> np.ndarray:
    """(h, w) bool: the pixels with the boxes' colour."""
    return (overlay == BOX).all(axis=-1)


# Sizes and colours.


@pytest.mark.parametrize(
    ("size", "times"),
    [
        ((8, 8), 32),
        ((1, 1), 256),
        ((60, 100), 3),
        ((100, 60), 3),
        ((255, 3), 2),
        ((256, 9), 1),
        ((9, 257), 1),
        ((300, 200), 1),
        ((128, 128), 2),
        ((1, 64), 4),
    ],
)
def test_small_images_are_enlarged_by_whole_copies(size: tuple[int, int], times: int) -> None:
    pixels = _noise((*size, 1))
    found = _of(pixels)
    expected = np.kron(pixels, np.ones((times, times, 1), np.uint8))
    np.testing.assert_array_equal(found.image, expected)
    np.testing.assert_array_equal(found.overlay, np.repeat(expected, 3, axis=-1))
    assert found.image.dtype == found.overlay.dtype == np.uint8


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_the_overlay_is_the_image_in_grey_and_alpha_is_left_out(channels: int) -> None:
    pixels = _noise((300, 40, channels))
    found = _of(pixels)
    colours = pixels[..., :3] if channels > 2 else pixels[..., :1]
    np.testing.assert_array_equal(found.image, colours)
    grey = colours.mean(axis=-1)
    assert found.overlay.shape == (300, 40, 3)
    for channel in range(3):
        assert np.abs(found.overlay[..., channel] - grey).max() <= 0.51


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_levels_of_16_bits_are_stretched_to_all_that_8_have(channels: int) -> None:
    pixels = 700 + _noise((300, 40, channels), np.uint16) % 3000
    found = _of(pixels).image
    shown = pixels[..., :3].astype(np.float64)
    expected = (shown - shown.min()) / (shown.max() - shown.min()) * 255
    assert np.abs(found - expected).max() <= 0.51
    assert (found.min(), found.max()) == (0, 255)
    even = np.full((300, 40, channels), 4000, np.uint16)
    assert not _of(even).image.any()


def test_padding_takes_no_part_in_what_levels_are_stretched_to() -> None:
    pixels = np.zeros((64, 64, 1), np.uint16)
    pixels[16:48] = 30_000 + _noise((32, 64, 1), np.uint16) % 1000
    placement = Placement.of(Stored(200, 100), _config(64, 64), (64, 64))
    found = located(pixels, np.zeros((64, 64), np.float32), placement, [], SHADES).image
    assert (found.min(), found.max()) == (0, 255)


def test_heat_of_the_worst_is_red_and_less_of_it_yellow() -> None:
    """Its opacity is 0.7 at the worst, and half of that at 0.45 of the worst."""
    pixels = np.full((256, 256, 1), 100, np.uint8)
    for share, colour, over in ((1.0, (255, 0, 0), 0.7), (5.0, (255, 0, 0), 0.7)):
        places = np.full((16, 16), share, np.float32)
        overlay = _of(pixels, places).overlay.reshape(-1, 3)
        assert np.abs(overlay - (np.array(colour) * over + 100 * (1 - over))).max() <= 1
    places = np.full((16, 16), 0.45, np.float32)
    overlay = _of(pixels, places).overlay.reshape(-1, 3)
    assert np.abs(overlay - (np.array([255, 140, 0]) * 0.35 + 100 * 0.65)).max() <= 1


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), worst=st.floats(1e-6, 1e6), side=st.integers(1, 20))
def test_nothing_of_heat_is_seen_below_three_tenths_of_the_worst(
    seed: int, worst: float, side: int
) -> None:
    generator = np.random.default_rng(seed)
    places = (generator.uniform(-1, 0.2999, (side, side)) * worst).astype(np.float32)
    pixels = _noise((64, 64, 1))
    found = _of(pixels, places, worst)
    np.testing.assert_array_equal(found.overlay, np.repeat(found.image, 3, axis=-1))
    places[generator.integers(side), generator.integers(side)] = worst
    assert (_of(pixels, places, worst).overlay.std(axis=-1) > 0).any()


def test_heat_is_where_the_map_is_high() -> None:
    pixels, places = np.full((64, 64, 1), 128, np.uint8), np.zeros((16, 16), np.float32)
    places[3:6, 10:13] = 1.0
    overlay = _of(pixels, places).overlay  # 16 x 16 of its pixels per place
    coloured = overlay.std(axis=-1) > 0
    rows, columns = np.flatnonzero(coloured.any(axis=1)), np.flatnonzero(coloured.any(axis=0))
    assert coloured[52:92, 164:204].all()  # its corners are cut off
    assert 48 - 16 < rows[0] <= 48
    assert 96 <= rows[-1] + 1 < 96 + 16
    assert 160 - 16 < columns[0] <= 160
    assert 208 <= columns[-1] + 1 < 208 + 16


def test_heat_over_images_of_every_number_of_channels() -> None:
    for channels in (1, 2, 3, 4):
        images = np.full((2, 4, 5, channels), 0.5, np.float32)
        found = heat_over(images, np.zeros((2, 4, 5), np.float32), 0.0)
        assert found.shape == (2, 4, 5, 3)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, 0.5)


# Boxes.


def _outline(shape: tuple[int, int], *boxes: SIDES, line: int = 1) -> np.ndarray:
    """(h, w) bool: the outlines of boxes within the picture, `line` pixels wide, inward from the
    outermost pixels."""
    result = np.zeros(shape, bool)
    rows, columns = np.indices(shape)
    for sides in boxes:
        left, top = max(0, sides[0]), max(0, sides[1])
        right, bottom = min(shape[1] - 1, sides[2]), min(shape[0] - 1, sides[3])
        beside = np.minimum(columns - left, right - columns)
        above = np.minimum(rows - top, bottom - rows)
        inward = np.minimum(beside, above)
        result |= (inward >= 0) & (inward < line)
    return result


@pytest.mark.parametrize(
    ("size", "line"), [((8, 8), 1), ((100, 160), 1), ((767, 500), 1), ((768, 500), 2)]
)
def test_a_box_lies_around_each_region(size: tuple[int, int], line: int) -> None:
    """The box is three pixels from the region, in the enlarged picture."""
    places = np.zeros(size, np.float32)
    marked = [(2, 1, 4, 2), (6, 6, 7, 7)]  # left, top, right and bottom, in places
    for left, top, right, bottom in marked:
        places[top:bottom, left:right] = 1.0
    placement = _plain(size, by=3)
    regions = find_regions(places, 0.5, placement)
    assert len(regions) == 2
    overlay = located(np.zeros((*size, 1), np.uint8), places, placement, regions, SHADES).overlay
    times = overlay.shape[0] // size[0]
    boxes = [
        (
            left * times - AROUND,
            top * times - AROUND,
            right * times - 1 + AROUND,
            bottom * times - 1 + AROUND,
        )
        for left, top, right, bottom in marked
    ]
    expected = _outline(overlay.shape[:2], *boxes, line=line)
    np.testing.assert_array_equal(_boxed(overlay), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_boxes_lie_around_the_heat_of_turned_and_fitted_images(orientation: int, fit: str) -> None:
    stored, config = Stored(300, 220, orientation), _config(48, 64, fit)
    places = np.zeros((24, 32), np.float32)
    places[9:12, 14:19] = 1.0
    placement = Placement.of(stored, config, places.shape)
    regions = find_regions(places, 0.9, placement)
    pixels = np.full((48, 64, 1), 128, np.uint8)
    overlay = located(pixels, places, placement, regions, SHADES).overlay.astype(int)
    rows, columns = np.nonzero(_boxed(overlay))
    # Only the places where the map is highest are this red.
    red = (overlay[..., 0] > 210) & (overlay[..., 1] < 90) & (overlay[..., 2] < 90)
    inside = np.nonzero(red)
    assert len(inside[0]) > 20
    assert rows.min() <= inside[0].min()
    assert inside[0].max() <= rows.max()
    assert columns.min() <= inside[1].min()
    assert inside[1].max() <= columns.max()
    height, width = overlay.shape[:2]
    if fit != "stretch":  # stretching gives the frame's aspect ratio
        assert abs(height / width - 220 / 300) < 0.02
    # The box is that of the region in the file, in pixels of the picture.
    (region,) = regions
    scale = (width / 300, height / 220)
    edges = (columns.min() + AROUND, rows.min() + AROUND)
    ends = (columns.max() + 1 - AROUND, rows.max() + 1 - AROUND)
    assert np.abs(np.subtract(edges, np.multiply((region.x, region.y), scale))).max() <= 0.51
    far = (region.x + region.width, region.y + region.height)
    assert np.abs(np.subtract(ends, np.multiply(far, scale))).max() <= 0.51


def test_boxes_end_at_the_sides() -> None:
    places = np.zeros((64, 64), np.float32)
    places[:5, 20:30] = places[60:, 59:] = 1.0
    placement = _plain((64, 64))
    regions = find_regions(places, 0.5, placement)
    overlay = located(np.zeros((64, 64, 1), np.uint8), places, placement, regions, SHADES).overlay
    boxes = [(77, -3, 122, 22), (233, 237, 258, 258)]
    np.testing.assert_array_equal(_boxed(overlay), _outline((256, 256), *boxes))


@pytest.mark.parametrize("side", [8, 300, 900])
def test_a_region_as_large_as_the_image_has_a_box_that_is_seen(side: int) -> None:
    places = np.ones((side, side), np.float32)
    placement = _plain((side, side))
    regions = find_regions(places, 0.5, placement)
    overlay = located(
        np.zeros((side, side, 1), np.uint8), places, placement, regions, SHADES
    ).overlay
    assert _boxed(overlay).any()


# What the frame shows.


def _cropped(orientation: int) -> tuple[Located, np.ndarray]:
    """A white image of 256 x 128, of which a square frame shows the middle half, with a map that is
    high everywhere; and the part that the frame shows, (h, w) bool."""
    size = (256, 128) if orientation < 5 else (128, 256)
    places = np.ones((16, 16), np.float32)
    placement = Placement.of(Stored(*size, orientation), _config(64, 64, "crop"), places.shape)
    found = located(np.full((64, 64, 1), 255, np.uint8), places, placement, [], SHADES)
    upright = np.zeros((128, 256), bool)
    upright[:, 64:192] = True
    return found, turned_back(upright, orientation)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_cropped_image_is_black_where_the_frame_does_not_show_it(orientation: int) -> None:
    found, shown = _cropped(orientation)
    assert found.image.shape == (*shown.shape, 1)
    np.testing.assert_array_equal(found.image[..., 0], np.where(shown, 255, 0))
    near = ndimage.binary_dilation(shown, np.ones((3, 3)), 8)  # by one place
    assert not found.overlay[~near].any()
    inner = ndimage.binary_erosion(shown, np.ones((3, 3)), 8, border_value=1)
    assert (found.overlay[inner] == (255, 76, 76)).all()


def test_heat_ends_where_the_frame_does() -> None:
    found, shown = _cropped(1)
    assert not found.overlay[~shown].any()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_padding_is_cut_off_image_and_heat(orientation: int) -> None:
    size = (200, 100) if orientation < 5 else (100, 200)
    pixels, places = np.full((64, 64, 1), 255, np.uint8), np.full((64, 64), 9.0, np.float32)
    pixels[16:48], places[16:48] = 10, 0.0
    placement = Placement.of(Stored(*size, orientation), _config(64, 64), places.shape)
    found = located(pixels, places, placement, [], SHADES)
    shape = (128, 256) if orientation < 5 else (256, 128)
    assert found.image.shape == (*shape, 1)
    assert (found.image == 10).all()
    assert (found.overlay == 10).all()


def test_the_map_may_be_coarser_than_the_frame() -> None:
    """The picture has the resolution of the frame, the heat that of the map."""
    pixels = _noise((512, 384, 3))
    found = _of(pixels, np.zeros((8, 6), np.float32))
    np.testing.assert_array_equal(found.image, pixels)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    orientation=st.integers(1, 8),
    fit=st.sampled_from(["pad", "crop", "stretch"]),
    count=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    seed=st.integers(0, 10**6),
)
def test_images_of_any_size_are_drawn(
    size: tuple[int, int], orientation: int, fit: str, count: tuple[int, int], seed: int
) -> None:
    stored = Stored(*size, orientation)
    places = np.random.default_rng(seed).random(count, np.float32)
    placement = Placement.of(stored, _config(24, 32, fit), count)
    regions = find_regions(places, 0.7, placement)
    found = located(_noise((24, 32, 1)), places, placement, regions, SHADES)
    assert found.overlay.shape == (*found.image.shape[:2], 3)
    assert found.image.shape[2] == 1
    height, width = found.image.shape[:2]
    assert max(height, width) >= 256
    if min(size) >= 16 and max(size) <= 8 * min(size):
        # The image's aspect ratio, except for rounding to pixels of the frame, then enlarged.
        assert width / height == pytest.approx(size[0] / size[1], rel=0.2)


@pytest.mark.parametrize("orientation", [1, 6])
def test_an_image_that_was_stretched_has_its_own_shape_again(orientation: int) -> None:
    stored = Stored(400, 100, orientation)
    placement = Placement.of(stored, _config(320, 320, "stretch"), (80, 80))
    found = located(_noise((320, 320, 3)), np.zeros((80, 80), np.float32), placement, [], SHADES)
    assert found.image.shape == found.overlay.shape == (320, 1280, 3)


def test_pictures_of_large_maps_have_some_two_thousand_pixels_and_show_each_peak() -> None:
    places = np.zeros((4998, 3000), np.float32)
    places[4321, 1234] = 1.0
    pixels = np.full((4998, 3000, 3), 100, np.uint8)
    pixels[4320:4323, 1233:1236] = 160
    placement = Placement.as_stored(Stored(4 * 3000, 4 * 4998), (4.0, 4.0))
    regions = find_regions(places, 0.5, placement)
    found = located(pixels, places, placement, regions, SHADES)
    assert found.overlay.shape == found.image.shape == (1666, 1000, 3)
    row, column = 4321 // 3, 1234 // 3
    red = found.overlay[row, column].astype(int)
    assert red[0] > red[1] + 100
    np.testing.assert_array_equal(found.image[row, column], [160] * 3)
    np.testing.assert_array_equal(found.image[0, 0], [100] * 3)
    rows, columns = np.nonzero((found.overlay == BOX).all(axis=2))
    assert rows.min() <= row <= rows.max()
    assert columns.min() <= column <= columns.max()
    assert rows.max() - rows.min() <= 2 * AROUND + 3
