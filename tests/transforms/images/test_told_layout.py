"""The layout of pixels according to an image's header, against the pixels."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.fuzz.images import image_seeds
from tests.fuzz.mutations import mutated, with_png_checksums
from tests.transforms.images.test_untrusted_images import BOMBS
from transforms.images.decoding import decode_as_is, told_layout
from transforms.records.rejects import RecordError

LIMIT = 1 << 22
_SIDES = (48, 36)  # of images that orientations rotate


def _saved(kind: str, image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _decoded(data: bytes) -> tuple[tuple[int, ...], np.dtype] | None:
    try:
        pixels = decode_as_is(data, LIMIT)
    except RecordError:
        return None
    return pixels.shape, pixels.dtype


def _agrees(data: bytes) -> bool:
    """Whether the layout from the header, if any, is that of the image, if it can be decoded."""
    found = _decoded(data)
    try:
        told = told_layout(data, LIMIT)
    except RecordError:
        return found is None
    return None in (found, told) or told == found


def _png_of_16_bits(kind: int, channels: int) -> bytes:
    rows = (b"\0" + bytes(range(5 * channels * 2))) * 3
    parts = ((b"IHDR", struct.pack(">IIBBBBB", 5, 3, 16, kind, 0, 0, 0)),
             (b"IDAT", zlib.compress(rows)), (b"IEND", b""))  # fmt: skip
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("kind", image_seeds())
def test_headers_tell_what_decoding_gives(kind: str) -> None:
    told = 0
    for data in image_seeds()[kind]:
        found = told_layout(data, LIMIT)
        assert found in (None, _decoded(data))
        told += found is not None
    assert told >= len(image_seeds()[kind]) - 1  # of PNG, one has EXIF


@pytest.mark.parametrize(("kind", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_pngs_of_16_bits(kind: int, channels: int) -> None:
    data = _png_of_16_bits(kind, channels)
    assert told_layout(data, LIMIT) == ((3, 5, channels), np.uint16) == _decoded(data)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_that_swap_the_sides(kind: str, orientation: int) -> None:
    image = Image.new("RGB", (_SIDES[1], _SIDES[0]), (9, 99, 199))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _saved(kind, image, exif=exif)
    height, width = _SIDES if orientation < 5 else _SIDES[::-1]
    assert _decoded(data) == ((height, width, 3), np.uint8)
    assert told_layout(data, LIMIT) in (None, _decoded(data))
    assert (told_layout(data, LIMIT) is None) == (kind == "PNG")  # its EXIF may follow its pixels


@pytest.mark.parametrize("after", [False, True])
def test_the_orientation_of_a_png_is_looked_for_behind_its_pixels_too(after: bool) -> None:
    """`XML:com.adobe.xmp` is XMP's keyword; by default, Pillow's writer puts texts first."""
    xmp = '<x tiff:Orientation="6"/>'
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", xmp)
    image = Image.new("L", (_SIDES[1], _SIDES[0]), 9)
    if after:
        texts = PngImagePlugin.PngInfo()
        texts.add(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp.encode(), after_idat=True)
    data = _saved("PNG", image, pnginfo=texts)
    assert _decoded(data) == ((*_SIDES[::-1], 1), np.uint8)
    assert told_layout(data, LIMIT) is None


def test_texts_without_an_orientation_leave_it_to_the_header() -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Software", "a scanner")
    texts.add_text("My own", "words", zip=True)
    data = _saved("PNG", Image.new("L", (7, 5), 9), pnginfo=texts)
    assert told_layout(data, LIMIT) == ((5, 7, 1), np.uint8)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "LAB"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "BMP", "GIF", "WEBP"])
def test_every_mode_of_pillow(kind: str, mode: str) -> None:
    try:
        data = _saved(kind, Image.new(mode, (7, 5)))
    except (OSError, ValueError):
        return  # the format has no such mode
    assert _agrees(data)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
@pytest.mark.parametrize("mode", ["P", "L", "RGB", "1"])
def test_transparent_colours(kind: str, mode: str) -> None:
    transparent = (0, 0, 0) if mode == "RGB" else 0
    image = Image.new(mode, (7, 5))
    if kind == "GIF" and mode == "RGB":
        image = image.quantize(4)
        transparent = 0
    data = _saved(kind, image, transparency=transparent)
    assert told_layout(data, LIMIT) == _decoded(data)


def test_samples_that_pillow_has_no_mode_for_are_left_to_the_decoder() -> None:
    deep = _saved("TIFF", Image.fromarray(np.full((5, 7), 70000, np.int32)))
    assert told_layout(deep, LIMIT) is None


@pytest.mark.parametrize("kind", image_seeds())
@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_headers_tell_nothing_false_and_raise_nothing_else(kind: str, count: int) -> None:
    generator, seeds = np.random.default_rng(5), image_seeds()[kind]
    for number in range(count):
        data = mutated(seeds[int(generator.integers(len(seeds)))], seeds, generator)
        data = with_png_checksums(data, generator) if kind == "PNG" and number % 2 else data
        assert _agrees(data), data


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str) -> None:
    assert _agrees(BOMBS[name][0]())


@pytest.mark.parametrize("data", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_a_reject(data: bytes) -> None:
    with pytest.raises(RecordError):
        told_layout(data, LIMIT)


def test_more_pixels_than_the_limit_are_a_reject() -> None:
    data = _saved("PNG", Image.new("L", (70, 50), 9))
    with pytest.raises(RecordError, match="70 x 50 pixels; the limit is"):
        told_layout(data, 3499)
