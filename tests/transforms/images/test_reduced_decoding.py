"""JPEGs decoded at a fraction of their size: nearly the pixels of full decoding, not shifted."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ae_models.config.configuration import ImageConfig
from transforms.images.decoding import decode_as_is, decode_image
from transforms.images.fitting import fit_image, reduction
from transforms.records.rejects import Reason, RecordError

ORIENTATION_TAG = 0x0112


def _photograph(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Structure at every scale, and an edge that a shift of a fraction of a pixel changes."""
    generator = np.random.default_rng(4)
    pixels = np.full((height, width, 3), 20.0)
    for side, spread in ((5, 30), (20, 20), (80, 10), (320, 5)):
        coarse = generator.normal(0, spread, (side, side, 3)).astype(np.float32)
        for channel in range(3):
            plane = Image.fromarray(coarse[..., channel])
            pixels[..., channel] += np.asarray(plane.resize((width, height), 3))
    pixels[:, width // 2 :] += 80
    pixels[height // 3 :] += 60
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).convert(mode)


def _jpeg(image: Image.Image, orientation: int = 1, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif, quality=90, **options)
    return file.getvalue()


def _both(data: bytes, height: int, width: int, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Reduced and full, as float64."""
    reduced = decode_image(data, ImageConfig(height=height, width=width, **options))
    options["reduce"] = False
    full = decode_image(data, ImageConfig(height=height, width=width, **options))
    return reduced.astype(float), full.astype(float)


@pytest.mark.parametrize("fit", ["pad", "crop"])
@pytest.mark.parametrize("size", [(512, 512), (1001, 667), (345, 599)])
@pytest.mark.parametrize("divisor", [4, 8, 16])
def test_pixels_are_within_a_level_or_so_of_full_decoding(
    divisor: int, size: tuple[int, int], fit: str
) -> None:
    data = _jpeg(_photograph(*size))
    side = min(size) // divisor
    reduced, full = _both(data, side, side, fit=fit)
    assert 0 < np.abs(reduced - full).mean() < 1.0
    assert np.abs(reduced - full).max() < 16
    np.testing.assert_array_equal(full, fit_image(decode_as_is(data, 10**6), _config(side, fit)))


def _config(side: int, fit: Any) -> ImageConfig:
    return ImageConfig(height=side, width=side, fit=fit)


@pytest.mark.parametrize("fit", ["pad", "crop"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_images_keep_their_place(orientation: int, fit: str) -> None:
    """Sizes for which the last row and column of eighths are mostly not part of the image."""
    data = _jpeg(_photograph(401, 265), orientation)
    reduced, full = _both(data, 16, 24, fit=fit)
    assert 0 < np.abs(reduced - full).mean() < 0.9
    assert np.abs(reduced - full).max() < 8
    np.testing.assert_array_equal((reduced == 0).all(axis=-1), (full == 0).all(axis=-1))


@pytest.mark.parametrize(
    ("mode", "options"),
    [("L", {}), ("CMYK", {}), ("RGB", {"progressive": True}), ("RGB", {"subsampling": 0})],
)
def test_other_kinds_of_jpeg_are_reduced(mode: str, options: dict[str, Any]) -> None:
    reduced, full = _both(_jpeg(_photograph(320, 320, mode), **options), 20, 20)
    assert 0 < np.abs(reduced - full).mean() < 1.0


def test_channels_and_bits_are_converted_after_reduction() -> None:
    data = _jpeg(_photograph(320, 320))
    reduced, full = _both(data, 20, 20, channels=1, bits=16, convert=True)
    assert reduced.shape == (20, 20, 1)
    assert 0 < np.abs(reduced - full).mean() / 257 < 1.0
    with pytest.raises(RecordError) as caught:
        decode_image(data, ImageConfig(height=20, width=20, channels=1))
    assert caught.value.reason == Reason.WRONG_CHANNELS


@pytest.mark.parametrize("shape", [(None, 20), (20, None), (None, None), (81, 81), (320, 320)])
def test_what_is_not_shrunk_fourfold_is_decoded_in_full(shape: Any) -> None:
    reduced, full = _both(_jpeg(_photograph(320, 320)), *shape)
    np.testing.assert_array_equal(reduced, full)


def test_other_formats_are_never_reduced() -> None:
    for file_format in ("PNG", "WebP", "TIFF", "BMP", "GIF"):
        file = io.BytesIO()
        _photograph(320, 320).save(file, file_format)
        reduced, full = _both(file.getvalue(), 20, 20)
        np.testing.assert_array_equal(reduced, full)


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 2), (9, 9), (641, 17)])
@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_thin_and_tiny_images_have_no_part_too_small(size: tuple[int, int], fit: str) -> None:
    for orientation in range(1, 9):
        reduced, full = _both(_jpeg(_photograph(*size), orientation), 2, 1, fit=fit)
        assert reduced.shape == full.shape == (2, 1, 3)


def test_the_first_of_several_images_in_a_file_is_reduced() -> None:
    file = io.BytesIO()
    first, second = _photograph(320, 320), Image.new("RGB", (320, 320))
    first.save(file, "MPO", save_all=True, append_images=[second])
    reduced, full = _both(file.getvalue(), 20, 20)
    assert 0 < np.abs(reduced - full).mean() < 1.0


def test_damage_and_size_are_refused_as_in_full() -> None:
    data = _jpeg(_photograph(320, 320))
    for reduce in (True, False):
        config = ImageConfig(height=20, width=20, reduce=reduce, max_pixels=320 * 320)
        for size in range(400, len(data) - 10, 1999):
            with pytest.raises(RecordError) as caught:
                decode_image(data[:size], config)
            assert caught.value.reason in (Reason.CORRUPT, Reason.NOT_AN_IMAGE)
        small = ImageConfig(height=20, width=20, reduce=reduce, max_pixels=320 * 320 - 1)
        with pytest.raises(RecordError) as caught:
            decode_image(data, small)
        assert caught.value.reason == Reason.TOO_LARGE


@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    target=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    fit=st.sampled_from(["pad", "crop"]),
)
def test_what_is_left_has_twice_the_pixels_that_are_needed(
    size: tuple[int, int], target: tuple[int, int], fit: Any
) -> None:
    by = reduction(size, ImageConfig(height=target[0], width=target[1], fit=fit))
    ratios = [wanted / side for wanted, side in zip(target, size, strict=True)]
    shrinks = 1 / (min(ratios) if fit == "pad" else max(ratios))
    assert by in (1, 2, 4, 8)
    assert by == 1 or shrinks / by >= 2
    assert by == 8 or shrinks / (2 * by) < 2
