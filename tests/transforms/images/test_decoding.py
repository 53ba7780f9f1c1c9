"""Encoded images to pixels: formats, depths, orientation, and damage of every kind."""

import io
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from ae_models.config.configuration import ImageConfig
from transforms.images.decoding import decode_image
from transforms.records.rejects import Reason, RecordError

AS_IS = ImageConfig()
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
ORIENTATION_TAG = 0x0112
TURNED = [("PNG", "RGB"), ("JPEG", "RGB"), ("WebP", "RGB"), ("TIFF", "RGB"), ("TIFF", "I;16")]


def _noise(height: int, width: int, channels: int, dtype: str = "uint8") -> np.ndarray:
    limit = np.iinfo(dtype).max
    shape = (height, width, channels)
    return np.random.default_rng(7).integers(0, limit, shape, dtype, endpoint=True)


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    return exif


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_header(width: int, height: int) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", b"") + _chunk(b"IEND", b"")


def _rgb_16_bit_tiff(pixels: np.ndarray) -> bytes:
    """The minimum that TIFF 6.0 requires: Pillow writes no 16-bit colour."""
    height, width, channels = pixels.shape
    data = pixels.astype("<u2").tobytes()
    bits_at = 8 + len(data)
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, bits_at), (259, 3, 1, 1),
        (262, 3, 1, 2), (273, 4, 1, 8), (277, 3, 1, channels), (278, 4, 1, height),
        (279, 4, 1, len(data)), (284, 3, 1, 1),
    ]  # fmt: skip
    ifd = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries)
    bits = struct.pack("<3H", 16, 16, 16)
    return struct.pack("<2sHI", b"II", 42, bits_at + 6) + data + bits + ifd + bytes(4)


def _reason(data: bytes, config: ImageConfig = AS_IS) -> Reason:
    with pytest.raises(RecordError) as caught:
        decode_image(data, config)
    return caught.value.reason


@pytest.mark.parametrize(
    ("file_format", "mode", "options"),
    [
        *[("PNG", mode, {}) for mode in CHANNELS],
        *[("TIFF", mode, {"compression": "tiff_lzw"}) for mode in CHANNELS],
        *[("WebP", mode, {"lossless": True, "exact": True}) for mode in ("RGB", "RGBA")],
        *[("BMP", mode, {}) for mode in ("L", "RGB")],
    ],
)
def test_lossless_8_bit_pixels_come_back_exactly(
    file_format: str, mode: str, options: dict[str, Any]
) -> None:
    pixels = _noise(5, 7, CHANNELS[mode])
    decoded = decode_image(_encode(_image(pixels), file_format, **options), AS_IS)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_is_as_tensorflow_decodes_it(mode: str) -> None:
    smooth = ImageOps.fit(_image(_noise(4, 4, CHANNELS[mode])), (32, 24))
    data = _encode(smooth, "JPEG", quality=95, subsampling=0)
    expected = tf.io.decode_jpeg(data, dct_method="INTEGER_ACCURATE").numpy()
    np.testing.assert_allclose(decode_image(data, AS_IS).astype(int), expected, atol=1)


def test_cmyk_jpeg_becomes_colour() -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    decoded = decode_image(_encode(image, "JPEG"), AS_IS)
    assert decoded.shape == (8, 8, 3)
    np.testing.assert_allclose(decoded[4, 4].astype(int), [255, 0, 0], atol=3)


def test_one_bit_becomes_black_and_white() -> None:
    bits = _noise(6, 9, 1)[..., 0] > 127
    for file_format in ("PNG", "TIFF", "BMP"):
        decoded = decode_image(_encode(Image.fromarray(bits), file_format), AS_IS)
        np.testing.assert_array_equal(decoded[..., 0], np.where(bits, 255, 0))


def test_palette_is_expanded_to_its_colours() -> None:
    palette = _image(_noise(9, 6, 3)).quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    for file_format in ("PNG", "GIF", "BMP"):
        decoded = decode_image(_encode(palette, file_format), AS_IS)
        np.testing.assert_array_equal(decoded, expected)


def test_indices_without_a_palette_are_corrupt() -> None:
    data = _encode(_image(_noise(9, 6, 3)).quantize(16), "PNG")
    start = data.index(b"PLTE") - 4
    size = int.from_bytes(data[start : start + 4], "big")
    with pytest.raises(RecordError, match="PNG: palette indices without a palette") as caught:
        decode_image(data[:start] + data[start + size + 12 :], AS_IS)
    assert caught.value.reason == Reason.CORRUPT


def test_palette_with_transparency_keeps_its_alpha() -> None:
    palette = _image(_noise(9, 6, 3)).quantize(16)
    decoded = decode_image(_encode(palette, "PNG", transparency=3), AS_IS)
    np.testing.assert_array_equal(decoded[..., 3], np.where(np.asarray(palette) == 3, 0, 255))


def test_gif_gives_its_first_frame() -> None:
    frames = [Image.new("L", (6, 4), level) for level in (10, 200)]
    data = _encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.unique(decode_image(data, AS_IS)).tolist() == [10]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_png_keeps_every_bit(channels: int) -> None:
    pixels = _noise(6, 5, channels, "uint16")
    decoded = decode_image(tf.io.encode_png(pixels).numpy(), AS_IS)
    assert decoded.dtype == np.uint16
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bit_grey_tiff_keeps_every_bit_in_both_byte_orders(order: str) -> None:
    pixels = _noise(6, 5, 1, "uint16")
    mode = "I;16" if order == "<u2" else "I;16B"
    image = Image.frombytes(mode, (5, 6), pixels.astype(order).tobytes())
    decoded = decode_image(_encode(image, "TIFF"), AS_IS)
    assert decoded.dtype == np.dtype(np.uint16)
    np.testing.assert_array_equal(decoded, pixels)


def test_16_bit_colour_tiff_is_never_cut_to_8_bits_in_silence() -> None:
    pixels = _noise(4, 3, 3, "uint16")
    try:
        decoded = decode_image(_rgb_16_bit_tiff(pixels), AS_IS)
    except RecordError as error:
        assert error.reason == Reason.WRONG_BITS  # noqa: PT017 - either outcome is right
    else:
        np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize(("mode", "level"), [("I", 70_000), ("F", 0.5)])
def test_32_bit_tiff_is_refused_not_wrapped(mode: str, level: float) -> None:
    data = _encode(Image.new(mode, (4, 4), level), "TIFF")
    assert _reason(data) == Reason.WRONG_BITS


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("file_format", "mode"), TURNED)
def test_exif_orientation_is_applied(file_format: str, mode: str, orientation: int) -> None:
    pixels = _noise(5, 7, 3) if mode == "RGB" else _noise(5, 7, 1, "uint16")
    data = _encode(_image(pixels), file_format, exif=_exif(orientation))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(decode_image(data, AS_IS).squeeze(), expected)
    assert expected.shape[:2] == ((5, 7) if orientation < 5 else (7, 5))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", [1, 3])
def test_exif_orientation_of_16_bit_png(channels: int, orientation: int) -> None:
    places = np.arange(35, dtype=np.uint8).reshape(5, 7)
    turned = Image.open(
        io.BytesIO(_encode(Image.fromarray(places), "PNG", exif=_exif(orientation)))
    )
    pixels = _noise(5, 7, channels, "uint16")
    expected = pixels.reshape(35, channels)[np.asarray(ImageOps.exif_transpose(turned))]
    plain = tf.io.encode_png(pixels).numpy()
    exif = _chunk(b"eXIf", _exif(orientation).tobytes().removeprefix(b"Exif\x00\x00"))
    np.testing.assert_array_equal(decode_image(plain[:33] + exif + plain[33:], AS_IS), expected)


def test_what_is_no_image_says_so() -> None:
    assert _reason(b"") == Reason.EMPTY
    assert _reason(b"id,label\n1,cat\n") == Reason.NOT_AN_IMAGE
    assert _reason(_png_header(20_000, 20_000)) == Reason.TOO_LARGE
    assert _reason(_png_header(5_000, 5_000), ImageConfig(max_pixels=10**6)) == Reason.TOO_LARGE
    assert _reason(_png_header(50, 50)) == Reason.CORRUPT


@pytest.mark.parametrize("file_format", ["PPM", "ICO", "PCX", "TGA", "EPS"])
def test_formats_beyond_the_six_are_no_images(file_format: str) -> None:
    """Each further decoder is an attack surface for hostile files; that of EPS runs Ghostscript."""
    assert _reason(_encode(_image(_noise(32, 32, 3)), file_format)) == Reason.NOT_AN_IMAGE


def _samples() -> dict[str, bytes]:
    colour = _image(_noise(24, 20, 3))
    deep = tf.io.encode_png(_noise(24, 20, 3, "uint16")).numpy()
    formats = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WebP")
    return {name: _encode(colour, name) for name in formats} | {"16-bit PNG": deep}


@pytest.mark.parametrize("name", _samples())
def test_truncated_images_are_corrupt(name: str) -> None:
    data = _samples()[name]
    assert _reason(data[: len(data) * 2 // 3]) == Reason.CORRUPT


@pytest.mark.parametrize("name", _samples())
@settings(deadline=None, max_examples=60)
@given(draw=st.data())
def test_damaged_bytes_raise_nothing_but_record_errors(name: str, draw: st.DataObject) -> None:
    data = bytearray(_samples()[name])
    # Half of the flips fall on the headers, where they do most.
    place = st.one_of(st.integers(0, min(99, len(data) - 1)), st.integers(0, len(data) - 1))
    for index, value in draw.draw(st.lists(st.tuples(place, st.integers(1, 255)), min_size=1)):
        data[index] ^= value
    with warnings.catch_warnings():  # Pillow's, of metadata; in production they are no errors
        warnings.simplefilter("ignore")
        try:
            decoded = decode_image(bytes(data), ImageConfig(max_pixels=100_000))
        except RecordError as error:
            assert isinstance(error.reason, Reason)  # noqa: PT017 - either outcome is right
        else:
            assert decoded.ndim == 3
            assert decoded.size <= 400_000
