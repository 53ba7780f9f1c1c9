"""`image.bits` of 9 to 15: levels unchanged, and none that does not fit that many bits."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ae_models.config.configuration import ImageConfig
from transforms.images.decode_batch import decode_batch
from transforms.images.decoding import decode_image
from transforms.images.fitting import fit_image
from transforms.records.batches import image_records
from transforms.records.pixels import raw_metadata
from transforms.records.rejects import Reason, RecordError

CONFIG = ImageConfig(height=4, width=6, channels=1, bits=12)


def _tiff(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "TIFF")
    return file.getvalue()


def _levels(most: int) -> np.ndarray:
    levels = np.random.default_rng(2).integers(0, most, (4, 6)).astype(np.uint16)
    levels[1, 2] = most
    return levels


@pytest.mark.parametrize("bits", range(9, 17))
def test_levels_stay_as_they_are(bits: int) -> None:
    config, levels = ImageConfig(bits=bits), _levels((1 << bits) - 1)
    np.testing.assert_array_equal(decode_image(_tiff(levels), config)[..., 0], levels)
    assert config.greatest_level == levels.max()
    assert ImageConfig(4, 6, 1, bits).image_bytes == levels.nbytes


def test_a_level_beyond_the_bits_is_a_reject_that_names_it() -> None:
    with pytest.raises(
        RecordError, match=r"level 4096 does not fit image\.bits=12, whose maximum is 4095"
    ):
        decode_image(_tiff(_levels(4096)), CONFIG)


def test_raw_pixels_beyond_the_bits_are_rejected_alone() -> None:
    rows = [_levels(most).tobytes() for most in (4095, 65535, 7)]
    metadata = raw_metadata((4, 6, 1), "uint16")
    batch = decode_batch(image_records(list("abc"), "f", rows, image_metadata=metadata), CONFIG)
    assert [row and row["reason"] for row in batch["reject"].to_pylist()] == [
        None,
        Reason.WRONG_BITS,
        None,
    ]
    assert batch["image"].to_pylist() == [rows[0], None, rows[2]]


def test_8_bits_are_refused_or_stretched_to_all_levels() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    with pytest.raises(RecordError, match="8 bits, not 12"):
        fit_image(pixels, ImageConfig(bits=12))
    found = fit_image(pixels, ImageConfig(bits=12, convert=True))
    np.testing.assert_array_equal(found, np.rint(pixels * (4095 / 255)))
    deep = fit_image(pixels, ImageConfig(bits=16, convert=True))
    np.testing.assert_array_equal(deep, pixels.astype(int) * 257)


@given(st.integers(9, 15), st.integers(0, 99))
def test_resizing_and_added_alpha_stay_within_the_bits(bits: int, seed: int) -> None:
    white = (1 << bits) - 1
    pixels = np.random.default_rng(seed).choice([0, white], (9, 9, 1)).astype(np.uint16)
    config = ImageConfig(height=23, width=20, channels=2, bits=bits, fit="crop", convert=True)
    found = fit_image(pixels, config)
    assert found.max() <= white
    assert found[..., 1].min() == white
