"""Maps as PNG files: the levels of a map's values, and the same orientation as the image file."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from ae_models.config.configuration import ImageConfig
from transforms.images.decoding import decode_stored
from transforms.images.orientation import Stored, turned_back
from transforms.maps.overlay import located
from transforms.maps.pictures import MapPictures, Shades, map_pictures
from transforms.maps.placement import Placement
from transforms.maps.regions import find_regions

ORIENTATION_TAG = 0x0112
ORIENTATIONS = range(1, 9)
FITS = ("pad", "crop", "stretch")
FRAME = (64, 48)  # width and height


def _config(fit: Any = "pad", channels: int = 1) -> ImageConfig:
    return ImageConfig(width=FRAME[0], height=FRAME[1], channels=channels, bits=8, fit=fit)


def _opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def _levels(pictures: MapPictures) -> np.ndarray:
    image = _opened(pictures.map)
    assert (image.format, image.mode) == ("PNG", "I;16")
    return np.asarray(image)


def _of_values(values: np.ndarray, threshold: float) -> np.ndarray:
    """The levels of a map with these values."""
    return _levels(map_pictures(values, np.zeros((9, 9, 3), np.uint8), Shades(0.0, threshold), 1))


# Levels.


@pytest.mark.parametrize("threshold", [1.0, 0.1, 3.7, 1e-12, 4e-7, 2e5])
def test_the_threshold_is_mid_grey_and_twice_of_it_white(threshold: float) -> None:
    shares = [[0.0, 1.0, 2.0, 0.5], [-1.0, 3.0, 1e4, np.nan]]
    found = _of_values((np.array(shares) * threshold).astype(np.float32), threshold)
    assert found.tolist() == [[0, 32768, 65535, 16384], [0, 65535, 65535, 0]]


def test_levels_are_rounded() -> None:
    values = np.array([[10.4, 10.6, 65534.4, 65534.6], [0.4, 0.6, 65535.4, 65536.0]], np.float32)
    expected = [[10, 11, 65534, 65535], [0, 1, 65535, 65535]]
    assert _of_values(values, 32768.0).tolist() == expected


@settings(max_examples=80, deadline=None)
@given(
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    orientation=st.sampled_from(ORIENTATIONS),
    fit=st.sampled_from(FITS),
    count=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    threshold=st.floats(1e-3, 1e3),
    seed=st.integers(0, 10**6),
)
def test_levels_are_those_of_the_map_of_the_image(
    size: tuple[int, int],
    orientation: int,
    fit: str,
    count: tuple[int, int],
    threshold: float,
    seed: int,
) -> None:
    generator = np.random.default_rng(seed)
    places = (generator.normal(0.8, 0.8, count) * threshold).astype(np.float32)
    placement = Placement.of(Stored(*size, orientation), _config(fit), count)
    values = placement.map_of_image(places)
    drawn = generator.integers(0, 256, (30, 40, 3), np.uint8)
    pictures = map_pictures(values, drawn, Shades(0.0, threshold), orientation)
    found = _levels(pictures)
    assert found.shape == pictures.size == values.shape
    values = values.astype(np.float64)
    exact = np.clip(np.nan_to_num(values / threshold * 32768), 0, 65535)
    assert np.abs(found - exact).max() < 0.52  # the rounding of single floats
    assert (found[np.isnan(values)] == 0).all()
    overlay = _opened(pictures.overlay)
    assert (overlay.format, overlay.mode) == ("PNG", "RGB")
    np.testing.assert_array_equal(np.asarray(overlay), drawn)
    for content in (pictures.map, pictures.overlay):
        told = _opened(content).getexif().get(ORIENTATION_TAG, 1)
        assert told == orientation


def test_what_the_frame_does_not_show_has_the_level_0() -> None:
    """A wide image cropped to the frame's shape has a wider map than the frame."""
    stored, places = Stored(200, 75), np.ones(FRAME[::-1], np.float32)
    placement = Placement.of(stored, _config("crop"), places.shape)
    levels = _of_values(placement.map_of_image(places), 1.0)
    assert levels.shape == (48, 128)
    assert (levels[:, 32:96] == 32768).all()
    assert not levels[:, :32].any()
    assert not levels[:, 96:].any()


# Orientation.


def _png(pixels: np.ndarray, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", exif=exif)
    return file.getvalue()


def _photo(height: int, width: int) -> np.ndarray:
    """An upright colour photo without symmetries, with a bright spot."""
    rows, columns = np.indices((height, width)) / [[[height]], [[width]]]
    grey = 60 + 80 * columns + 40 * rows * columns
    pixels = np.stack([grey, grey * 0.7, 200 - grey], axis=-1)
    pixels[height // 6 : height // 3, width // 2 : 3 * width // 4] = 255
    return np.rint(pixels).astype(np.uint8)


def _drawn(photo: np.ndarray, orientation: int, fit: str) -> MapPictures:
    """The pictures for a file in which an upright photo is stored with this orientation."""
    config = _config(fit, channels=3)
    frame, stored = decode_stored(_png(turned_back(photo, orientation), orientation), config)
    assert stored.upright == photo.shape[:2]
    blocks = frame.mean(axis=-1, dtype=np.float32).reshape(24, 2, 32, 2)
    places = blocks.mean(axis=(1, 3), dtype=np.float32)
    placement = Placement.of(stored, config, places.shape)
    regions = find_regions(places, 200.0, placement)
    assert len(regions) == 1
    overlay = located(frame, places, placement, regions, Shades(0.0, 200.0)).overlay
    return map_pictures(placement.map_of_image(places), overlay, Shades(0.0, 200.0), orientation)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("size", [(48, 64), (96, 128), (192, 128), (96, 256)])
def test_pictures_of_a_turned_photo_stand_upright_as_it_does(
    size: tuple[int, int], orientation: int, fit: str
) -> None:
    photo = _photo(*size)
    upright, turned = _drawn(photo, 1, fit), _drawn(photo, orientation, fit)
    for name in ("map", "overlay"):
        expected = np.asarray(_opened(getattr(upright, name)), np.int64)
        image = _opened(getattr(turned, name))
        stored_size = image.size
        found = np.asarray(ImageOps.exif_transpose(image), np.int64)
        assert found.shape == expected.shape, name
        wide = stored_size[0] > stored_size[1]
        assert wide == ((found.shape[1] > found.shape[0]) != (orientation > 4)), name
        assert np.abs(found - expected).max() <= 2, name


def test_an_upright_picture_says_nothing_of_orientation() -> None:
    pictures = _drawn(_photo(48, 64), 1, "pad")
    for content in (pictures.map, pictures.overlay):
        assert b"eXIf" not in content


def test_pictures_are_the_same_bytes_again() -> None:
    assert _drawn(_photo(96, 128), 6, "crop") == _drawn(_photo(96, 128), 6, "crop")


def test_maps_below_zero_are_dark_where_normal_images_are() -> None:
    values = np.array([[-4.0, -3.0, -2.0, -1.5, -1.0, 0.0, np.nan]], np.float32)
    levels = _levels(map_pictures(values, np.zeros((9, 9, 3), np.uint8), Shades(-3.0, -1.5), 1))
    np.testing.assert_array_equal(levels, [[0, 0, 21845, 32768, 43691, 65535, 0]])
