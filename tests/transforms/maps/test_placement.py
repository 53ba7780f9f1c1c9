"""Boxes and maps refer to the image as stored, however it was oriented and fitted."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from ae_models.config.configuration import ImageConfig
from transforms.images.decode_batch import decode_batch
from transforms.images.decoders import Stored, decoded
from transforms.images.decoding import decode_as_is, decode_stored
from transforms.maps.placement import Placement, turned_back
from transforms.maps.regions import find_regions
from transforms.maps.tables import stored_sizes
from transforms.records.batches import image_records
from transforms.records.pixels import raw_metadata

ORIENTATION_TAG = 0x0112
ORIENTATIONS = range(1, 9)
FITS = ("pad", "crop", "stretch")
FRAME = (64, 48)  # width and height
BLOCKS = ((1, 1), (2, 4))  # width and height of a place, in pixels of the frame
Box = tuple[float, float, float, float]

# The width and height of each stored image, and the rectangle painted into it.
PAINTED: dict[tuple[int, int], tuple[int, int, int, int]] = {
    (64, 48): (10, 8, 30, 31),  # the frame's size, unless rotated
    (90, 50): (20, 12, 50, 34),
    (50, 90): (12, 20, 34, 50),
    (64, 64): (10, 20, 30, 50),
    (23, 17): (5, 3, 12, 11),  # smaller than the frame
    (200, 70): (40, 20, 100, 60),  # partly cut away by crop
    (70, 200): (10, 80, 50, 170),
    (401, 265): (100, 60, 220, 150),  # JPEGs of this size and larger are decoded reduced
    (1001, 667): (300, 100, 560, 430),
}
REDUCED = ((401, 265), (1001, 667))


def _config(fit: Any) -> ImageConfig:
    return ImageConfig(width=FRAME[0], height=FRAME[1], channels=1, bits=8, fit=fit)


def _file(pixels: np.ndarray, file_format: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    options: dict[str, Any] = {"quality": 95} if file_format == "JPEG" else {}
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format, exif=exif, **options)
    return file.getvalue()


def _averaged(places: np.ndarray, block: tuple[int, int]) -> np.ndarray:
    """A map with fewer places, each the mean of a block of this width and height in pixels."""
    (height, width), (across, down) = places.shape, block
    blocks = places.reshape(height // down, down, width // across, across)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def _ratios(size: tuple[int, int], orientation: int, fit: str) -> tuple[float, float]:
    """Pixels of the frame per pixel of the file, along and across the file's rows."""
    frame = FRAME[::-1] if orientation > 4 else FRAME
    ratios = (frame[0] / size[0], frame[1] / size[1])
    if fit == "stretch":
        return ratios
    ratio = min(ratios) if fit == "pad" else max(ratios)
    return ratio, ratio


def _pitch(
    size: tuple[int, int], orientation: int, fit: str, block: tuple[int, int]
) -> tuple[float, float]:
    """The length of a place in pixels of the file, along and across the file's rows."""
    sides = block[::-1] if orientation > 4 else block
    across, down = _ratios(size, orientation, fit)
    return sides[0] / across, sides[1] / down


def _shown(size: tuple[int, int], orientation: int, fit: str) -> Box:
    """The part of the stored image that the frame shows: its middle, in every orientation."""
    frame = FRAME[::-1] if orientation > 4 else FRAME
    ratios = _ratios(size, orientation, fit)
    (x, y), (across, down) = (
        [side / 2 for side in size],
        [min(s, f / r) / 2 for s, f, r in zip(size, frame, ratios, strict=True)],
    )
    return x - across, y - down, x + across, y + down


def _clipped(box: Box, to: Box) -> Box:
    return max(box[0], to[0]), max(box[1], to[1]), min(box[2], to[2]), min(box[3], to[3])


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_painted_rectangle_is_the_one_region(
    orientation: int, file_format: str, fit: str
) -> None:
    """An edge is where a place is half covered, rounded outward to whole pixels."""
    config = _config(fit)
    for size, painted in PAINTED.items():
        left, top, right, bottom = painted
        pixels = np.zeros(size[::-1], np.uint8)
        pixels[top:bottom, left:right] = 255
        frame, stored = decode_stored(_file(pixels, file_format, orientation), config)
        assert stored == Stored(*size, orientation)
        expected = _clipped(painted, _shown(size, orientation, fit))
        for block in BLOCKS:
            places = _averaged(frame[..., 0] / np.float32(255), block)
            placement = Placement.of(stored, config, places.shape)
            (region,) = find_regions(places, 0.5, placement)
            x, y, width, height = region[:4]
            across, down = _pitch(size, orientation, fit, block)
            found, steps = (x, y, x + width, y + height), (across, down, across, down)
            for edge, is_, step in zip(expected, found, steps, strict=True):
                assert abs(is_ - edge) < step / 2 + 1, (size, block, expected, found)
            sides = (expected[2] - expected[0], expected[3] - expected[1])
            margin = across * sides[1] + down * sides[0]  # half a place along the four edges
            assert abs(region.area - sides[0] * sides[1]) <= margin, (size, block)


@pytest.mark.parametrize("fit", FITS)
def test_large_jpegs_are_decoded_reduced_here(fit: str) -> None:
    for size in REDUCED:
        data = _file(np.zeros(size[::-1], np.uint8), "JPEG", 6)
        assert decoded(data, _config(fit)).pixels.shape[0] < size[0]
        assert decode_stored(data, _config(fit))[1] == Stored(*size, 6)


def _pattern(size: tuple[int, int]) -> np.ndarray:
    """A smooth pattern without symmetries."""
    x, y = np.meshgrid(*((np.arange(side) + 0.5) / side for side in size))
    waves = 60 * np.sin(2 * np.pi * (0.7 * x + 0.1)) + 40 * np.cos(2 * np.pi * (0.6 * y + 0.2))
    return np.rint(120 + waves + 20 * x * y).astype(np.uint8)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_map_lies_over_the_image_as_it_is_stored(
    orientation: int, file_format: str, fit: str
) -> None:
    config = _config(fit)
    for size in PAINTED:
        pixels = _pattern(size)
        frame, stored = decode_stored(_file(pixels, file_format, orientation), config)
        for block in BLOCKS:
            places = _averaged(frame[..., 0].astype(np.float32), block)
            found = Placement.of(stored, config, places.shape).map_of_image(places)
            assert found.dtype == np.float32
            count = found.shape[::-1]
            pitch = _pitch(size, orientation, fit, block)
            for side, step, places_ in zip(size, pitch, count, strict=True):
                assert abs(places_ - side / step) < 1, (size, block)
            _check_shown(found, [
                edge / side * places_
                for edge, side, places_ in zip(
                    _shown(size, orientation, fit), size * 2, count * 2, strict=True
                )
            ])  # fmt: skip
            whole = Image.fromarray(pixels.astype(np.float32))
            shrunk = np.asarray(whole.resize(count, Image.Resampling.BICUBIC))
            wrong = np.abs(found - shrunk)
            if max(block) > 1:  # places at the sides extend beyond the image
                wrong = wrong[1:-1, 1:-1]
            assert np.nanmean(wrong) < max(block), (size, block)  # in a range of 160 levels
            assert np.nanmax(wrong) < 2 * max(block) + 2, (size, block)


def _check_shown(found: np.ndarray, edges: list[float]) -> None:
    """Checks that exactly a rectangle has values, and that its edges are these to within a
    place."""
    rows, columns = (np.flatnonzero(np.isfinite(found).any(axis=axis)) for axis in (1, 0))
    bounds = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    for bound, edge in zip(bounds, edges, strict=True):
        assert abs(bound - edge) < 1, (bounds, edges)
    assert np.isfinite(found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]).all()


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WebP"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_what_a_decoder_turned_is_turned_back(orientation: int, file_format: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    file, exif = io.BytesIO(), Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    options: dict[str, Any] = {"lossless": True} if file_format == "WebP" else {}
    Image.fromarray(pixels).save(file, file_format, exif=exif, **options)
    upright = decode_as_is(file.getvalue(), 1000)
    for array, expected in ((upright, pixels), (upright[..., 1], pixels[..., 1])):
        back = turned_back(array, orientation)
        np.testing.assert_array_equal(back, expected)
        assert back.flags["C_CONTIGUOUS"]
    with Image.open(file) as image:
        is_turned = file_format == "TIFF"  # when it is loaded
        known = image if is_turned else ImageOps.exif_transpose(image)
        np.testing.assert_array_equal(upright, np.asarray(known))


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_images_of_more_bits_say_how_they_are_stored(orientation: int, file_format: str) -> None:
    """Images of 16 bits, and TIFFs of 32: each takes another path through the decoders."""
    levels = np.random.default_rng(2).integers(0, 65536, (5, 7))
    kinds = [np.uint16, np.int32] if file_format == "TIFF" else [np.uint16]
    for kind in kinds:
        data = _file(levels.astype(kind), file_format, orientation)
        upright, stored = decode_stored(data, ImageConfig())
        assert stored == Stored(7, 5, orientation)
        np.testing.assert_array_equal(turned_back(upright, orientation)[..., 0], levels)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("number", [0, 9, 300])
def test_a_number_that_exif_does_not_know_turns_nothing(number: int, file_format: str) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (5, 7), np.uint8)
    upright, stored = decode_stored(_file(pixels, file_format, number), ImageConfig())
    assert stored == Stored(7, 5, 1)
    assert upright.shape[:2] == (5, 7)


def test_a_batch_says_how_each_file_holds_its_image() -> None:
    """Plain PNGs are decoded together, all others one by one; one file is not an image."""
    config, pixels = _config("pad"), np.zeros((48, 64), np.uint8)
    large, turned = np.zeros((667, 1001), np.uint8), np.zeros((64, 48), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    images = [file.getvalue(), _file(turned, "PNG", 6), _file(pixels, "PNG", 3), b"no image"]
    images += [_file(large, "JPEG", 8), _file(pixels, "TIFF", 5), file.getvalue()]
    batch = image_records([f"r{n}" for n in range(7)], "folder", images)
    assert stored_sizes(decode_batch(batch, config, stored=True)) == [
        Stored(64, 48),
        Stored(48, 64, 6),
        Stored(64, 48, 3),
        Stored(64, 48),  # nothing is known about a reject
        Stored(1001, 667, 8),
        Stored(64, 48, 5),
        Stored(64, 48),
    ]
    layout = raw_metadata((5, 7, 1), "uint8")
    raw = image_records(["r"], "file", [bytes(5 * 7)], image_metadata=layout)
    assert stored_sizes(decode_batch(raw, config, stored=True)) == [Stored(7, 5)]


@settings(max_examples=300, deadline=None)
@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    orientation=st.sampled_from(ORIENTATIONS),
    fit=st.sampled_from(FITS),
    count=st.tuples(st.integers(1, 12), st.integers(1, 12)),
)
def test_places_tile_what_the_frame_shows(
    size: tuple[int, int], orientation: int, fit: str, count: tuple[int, int]
) -> None:
    stored = Stored(*size, orientation)
    placement = Placement.of(stored, _config(fit), count)
    rows, columns = count
    tiles = [
        placement.in_image((x, y, x + 1, y + 1)) for y in range(rows) for x in range(columns)
    ]  # fmt: skip
    area = sum((tile[2] - tile[0]) * (tile[3] - tile[1]) for tile in tiles if tile is not None)
    shown = _shown(size, orientation, fit)
    assert area == pytest.approx((shown[2] - shown[0]) * (shown[3] - shown[1]))
    whole = placement.in_image((0, 0, columns, rows))
    assert whole == pytest.approx(shown, abs=1e-6)
    for tile in filter(None, tiles):
        assert 0 <= tile[0] < tile[2] <= size[0]
        assert 0 <= tile[1] < tile[3] <= size[1]
