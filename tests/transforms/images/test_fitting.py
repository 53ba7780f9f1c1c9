"""Pixels converted to the configured height, width, channels and bits."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageDraw, ImageOps

from ae_models.config.configuration import ImageConfig
from transforms.images.decoding import decode_image
from transforms.images.fitting import fit_image
from transforms.records.rejects import Reason, RecordError

MODES = ["L", "LA", "RGB", "RGBA"]  # with 1 to 4 channels


def _noise(height: int, width: int, channels: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (height, width, channels), np.uint8)


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _reason(data: bytes, config: ImageConfig) -> Reason:
    with pytest.raises(RecordError) as caught:
        decode_image(data, config)
    return caught.value.reason


@pytest.mark.parametrize("size", [(20, 20), (31, 17), (100, 40)])
@pytest.mark.parametrize("channels", [1, 3])
def test_fitting_is_as_pillow_pads_and_fits(channels: int, size: tuple[int, int]) -> None:
    smooth = ImageOps.fit(_image(_noise(6, 9, channels)), (48, 24), Image.Resampling.BICUBIC)
    oracles = {"pad": ImageOps.pad, "crop": ImageOps.fit}
    for fit, oracle in oracles.items():
        config = ImageConfig(height=size[1], width=size[0], fit=fit)
        fitted = decode_image(_png(smooth), config).squeeze().astype(int)
        expected = np.asarray(oracle(smooth, size, Image.Resampling.BICUBIC)).astype(int)
        assert np.abs(fitted - expected).max() <= 1, fit


@pytest.mark.parametrize("fit", ["pad", "crop"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("size", [(90, 60), (41, 80)])
def test_a_circle_stays_a_circle(fit: str, dtype: str, size: tuple[int, int]) -> None:
    image = Image.new("L", (200, 120))
    ImageDraw.Draw(image).ellipse((70, 30, 130, 90), fill=255)
    pixels = np.asarray(image).astype(dtype)[..., None] * (1 if dtype == "uint8" else 257)
    fitted = fit_image(pixels, ImageConfig(height=size[0], width=size[1], fit=fit))
    assert (fitted.shape, fitted.dtype) == ((*size, 1), np.dtype(dtype))
    rows, columns = np.nonzero(fitted[..., 0] > np.iinfo(dtype).max // 2)
    assert abs(np.ptp(rows) - np.ptp(columns)) <= 1
    scale = (min if fit == "pad" else max)(size[0] / 120, size[1] / 200)
    assert np.ptp(rows) == pytest.approx(60 * scale, abs=2)


def test_16_bit_resizing_agrees_with_8_bit() -> None:
    pixels = _noise(19, 11, 3)
    config = ImageConfig(height=8, width=8)
    fitted = fit_image(pixels.astype(np.uint16) * 257, config)
    assert np.abs(fitted / 257 - fit_image(pixels, config)).max() <= 1


@pytest.mark.parametrize("channels", range(1, 6))
def test_channels_of_any_number_are_resized_one_by_one(channels: int) -> None:
    pixels = _noise(12, 10, channels)
    config = ImageConfig(height=6, width=9)
    alone = [fit_image(pixels[..., index : index + 1], config) for index in range(channels)]
    np.testing.assert_array_equal(fit_image(pixels, config), np.concatenate(alone, axis=-1))


@pytest.mark.parametrize("channels", range(1, 5))
@pytest.mark.parametrize("wanted", range(1, 5))
def test_channels_are_converted_only_when_asked(channels: int, wanted: int) -> None:
    pixels = _noise(4, 4, channels)
    data = _png(_image(pixels))
    if channels != wanted:
        assert _reason(data, ImageConfig(channels=wanted)) == Reason.WRONG_CHANNELS
    expected = np.asarray(_image(pixels).convert(MODES[wanted - 1])).reshape(4, 4, wanted)
    converted = decode_image(data, ImageConfig(channels=wanted, convert=True))
    np.testing.assert_array_equal(converted, expected)
    deep = decode_image(data, ImageConfig(channels=wanted, bits=16, convert=True))
    np.testing.assert_allclose(deep / 257, expected, atol=1)


def test_bits_are_converted_only_when_asked() -> None:
    pixels = _noise(4, 4, 3)
    eight = _png(_image(pixels))
    sixteen = tf.io.encode_png(pixels.astype(np.uint16) * 257).numpy()
    for data, bits in ((eight, 16), (sixteen, 8)):
        assert _reason(data, ImageConfig(bits=bits)) == Reason.WRONG_BITS
    np.testing.assert_array_equal(decode_image(sixteen, ImageConfig(bits=8, convert=True)), pixels)
    widened = decode_image(eight, ImageConfig(bits=16, convert=True))
    np.testing.assert_array_equal(widened, decode_image(sixteen, ImageConfig()))


def test_channels_without_a_meaning_are_not_converted() -> None:
    with pytest.raises(RecordError) as caught:
        fit_image(_noise(4, 4, 5), ImageConfig(channels=3, convert=True))
    assert caught.value.reason == Reason.WRONG_CHANNELS


@pytest.mark.parametrize("target", [(28, 28), (64, 64), (48, 64)])
def test_every_size_can_be_cropped_and_padded(target: tuple[int, int]) -> None:
    for side in range(1, 260):
        pixels = np.zeros((side, side + side % 3, 1), np.uint8)
        for fit in ("crop", "pad"):
            fitted = fit_image(pixels, ImageConfig(*target, 1, 8, fit=fit))
            assert fitted.shape == (*target, 1)
