"""Images in bands of rows: the same pixels as decoding them in one piece, or a reject."""

import importlib.util
import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ae_models.config.configuration import ImageConfig
from transforms.images import bands
from transforms.images.bands import Bands, image_bands, raw_bands
from transforms.images.decoding import decode_as_is
from transforms.images.orientation import Stored, turned_back
from transforms.records.rejects import Reason, RecordError

AS_IS = ImageConfig()
HEIGHT, WIDTH = 150, 203
ORIENTATION_TAG = 0x0112


def _smooth(height: int, width: int, channels: int) -> np.ndarray:
    """Slopes and noise: every row, column and channel differs from the others."""
    rows, columns, planes = np.indices((height, width, channels))
    noise = np.random.default_rng(7).integers(0, 60, rows.shape)
    return ((rows * 2 + columns + planes * 40) % 180 + noise).astype(np.uint8)


def _encode(file_format: str, channels: int = 3, size: tuple[int, int] = (HEIGHT, WIDTH),
            **options: Any) -> bytes:  # fmt: skip
    pixels = _smooth(*size, channels)
    file = io.BytesIO()
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    image.save(file, file_format, **options)
    return file.getvalue()


PLAIN = {
    "png": ("PNG", 3, {}),
    "png, grey": ("PNG", 1, {}),
    "jpeg 4:2:0": ("JPEG", 3, {"subsampling": "4:2:0", "quality": 85}),
    "jpeg 4:2:2": ("JPEG", 3, {"subsampling": "4:2:2", "quality": 85}),
    "jpeg 4:4:4": ("JPEG", 3, {"subsampling": "4:4:4", "quality": 85}),
    "jpeg, grey": ("JPEG", 1, {"quality": 85}),
    "tiff": ("TIFF", 3, {"compression": "raw"}),
    "tiff, grey": ("TIFF", 1, {"compression": "raw"}),
    "tiff, lzw": ("TIFF", 3, {"compression": "tiff_lzw"}),
    "tiff, deflate": ("TIFF", 3, {"compression": "tiff_adobe_deflate"}),
    "tiff, deflate, grey": ("TIFF", 1, {"compression": "tiff_adobe_deflate"}),
}


def _plain(name: str, **more: Any) -> bytes:
    file_format, channels, options = PLAIN[name]
    return _encode(file_format, channels, **options, **more)


def _palette(file_format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(_smooth(HEIGHT, WIDTH, 3)).quantize(200).save(file, file_format, **options)
    return file.getvalue()


def _tiff_of_strips(rows: int = 16) -> bytes:
    """Deflated, with its header before its pixels, so that truncation leaves the header intact."""
    pixels = _smooth(HEIGHT, WIDTH, 3)
    strips = [zlib.compress(pixels[top : top + rows].tobytes()) for top in range(0, HEIGHT, rows)]
    tags, count = 10, len(strips)
    bits_at = 8 + 2 + 12 * tags + 4
    offsets_at = bits_at + 6
    first = offsets_at + 8 * count
    offsets = [first + sum(map(len, strips[:number])) for number in range(count)]
    entries = [
        (256, 4, 1, WIDTH), (257, 4, 1, HEIGHT), (258, 3, 3, bits_at), (259, 3, 1, 8),
        (262, 3, 1, 2), (273, 4, count, offsets_at), (277, 3, 1, 3), (278, 4, 1, rows),
        (279, 4, count, offsets_at + 4 * count), (284, 3, 1, 1),
    ]  # fmt: skip
    head = struct.pack("<2sHIH", b"II", 42, 8, tags)
    head += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    head += struct.pack("<3H", 8, 8, 8)
    head += struct.pack(f"<{2 * count}I", *offsets, *map(len, strips))
    return head + b"".join(strips)


def _deep(file_format: str) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 65536, (HEIGHT, WIDTH), np.uint16)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format)
    return file.getvalue()


def _interlaced() -> bytes:
    """Written by vips, as Pillow writes none."""
    import pyvips  # noqa: PLC0415

    pixels = _smooth(HEIGHT, WIDTH, 3)
    image = pyvips.Image.new_from_memory(pixels.tobytes(), WIDTH, HEIGHT, 3, "uchar")
    return bytes(image.copy(interpretation="srgb").pngsave_buffer(interlace=True))


def _others() -> dict[str, bytes]:
    """Images that cannot be read row by row."""
    cmyk = io.BytesIO()
    Image.fromarray(_smooth(HEIGHT, WIDTH, 3)).convert("CMYK").save(cmyk, "JPEG")
    return {
        "progressive jpeg": _encode("JPEG", progressive=True),
        "interlaced png": _interlaced(),
        "palette with a transparent colour": _palette(transparency=0),
        "alpha": _encode("PNG", 4),
        "grey and alpha": _encode("PNG", 2),
        "alpha in tiff": _encode("TIFF", 4),
        "16 bits": _deep("PNG"),
        "16 bits of tiff": _deep("TIFF"),
        "webp": _encode("WEBP", lossless=True),
        "bmp": _encode("BMP"),
        "cmyk": cmyk.getvalue(),
    }


class Fetches:
    """The number of bands requested from vips."""

    count = 0


@pytest.fixture
def fetches(monkeypatch: pytest.MonkeyPatch) -> Fetches:
    counted, original = Fetches(), bands._fetched

    def fetched(*arguments: Any) -> Iterator[np.ndarray]:
        for band in original(*arguments):
            counted.count += 1
            yield band

    monkeypatch.setattr(bands, "_fetched", fetched)
    return counted


@pytest.fixture(params=[True, False], ids=["in bands", "whole"])
def in_bands(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the images here are large enough to be decoded in bands."""
    if request.param:
        monkeypatch.setattr(bands, "_WHOLE_PIXELS", 1000)
    return bool(request.param)


def _joined(found: Bands) -> np.ndarray:
    return np.concatenate([band.copy() for band in found.rows])


@pytest.mark.parametrize("rows", [1, 7, 32, HEIGHT, 1000])
@pytest.mark.parametrize("name", PLAIN)
def test_the_bands_are_the_pixels_of_pillow(
    fetches: Fetches, in_bands: bool, name: str, rows: int
) -> None:
    data = _plain(name)
    stored, found = image_bands(memoryview(data), AS_IS, rows)
    parts = list(found)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image).reshape(HEIGHT, WIDTH, -1)
    assert stored == Stored(WIDTH, HEIGHT)
    assert [len(part) for part in parts[:-1]] == [rows] * (len(parts) - 1)
    assert len(parts) == -(-HEIGHT // rows)
    assert {part.dtype for part in parts} == {np.dtype(np.uint8)}
    np.testing.assert_array_equal(np.concatenate(parts), expected)
    assert fetches.count == (len(parts) if in_bands else 0)


def test_bands_stay_as_they_are_while_others_are_taken(in_bands: bool) -> None:
    data = _plain("png")
    parts = list(image_bands(memoryview(data), AS_IS, 16).rows)
    copies = [part.copy() for part in image_bands(memoryview(data), AS_IS, 16).rows]
    for part, copy in zip(parts, copies, strict=True):
        np.testing.assert_array_equal(part, copy)


@pytest.mark.parametrize("name", _others())
def test_what_cannot_be_had_in_rows_is_decoded_as_a_whole(
    fetches: Fetches, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(bands, "_WHOLE_PIXELS", 1000)
    data = _others()[name]
    expected = decode_as_is(data, 1 << 20)
    found = _joined(image_bands(memoryview(data), AS_IS, 13))
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    assert fetches.count == 0


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_a_palette_is_decoded_to_its_colours(in_bands: bool, file_format: str) -> None:
    data = _palette(file_format)
    found = _joined(image_bands(memoryview(data), AS_IS, 13))
    np.testing.assert_array_equal(found, decode_as_is(data, 1 << 20))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_palette_of_few_colours_is_decoded_to_them(in_bands: bool, bits: int) -> None:
    file = io.BytesIO()
    levels = Image.fromarray(_smooth(HEIGHT, WIDTH, 1)[..., 0]).quantize(1 << bits)
    levels.save(file, "PNG", bits=bits)
    data = file.getvalue()
    assert data[24] == bits
    found = _joined(image_bands(memoryview(data), AS_IS, 13))
    np.testing.assert_array_equal(found, decode_as_is(data, 1 << 20))


def test_black_and_white_is_decoded_to_levels_of_8(in_bands: bool) -> None:
    for file_format in ("PNG", "TIFF"):
        file = io.BytesIO()
        Image.fromarray(_smooth(HEIGHT, WIDTH, 1)[..., 0]).convert("1").save(file, file_format)
        data = file.getvalue()
        found = _joined(image_bands(memoryview(data), AS_IS, 13))
        np.testing.assert_array_equal(found, decode_as_is(data, 1 << 20))


def test_an_interlaced_png_is_one_indeed() -> None:
    assert _interlaced()[28] == 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("name", PLAIN)
def test_a_file_that_breaks_off_is_corrupt_and_never_short(
    in_bands: bool, name: str, share: float
) -> None:
    data = _plain(name)
    cut = data[: int(share * len(data))]
    with pytest.raises(RecordError) as caught:
        _joined(image_bands(memoryview(cut), AS_IS, 10))
    assert caught.value.reason == Reason.CORRUPT


def test_strips_are_joined(fetches: Fetches, in_bands: bool) -> None:
    data = _tiff_of_strips()
    found = _joined(image_bands(memoryview(data), AS_IS, 13))
    np.testing.assert_array_equal(found, _smooth(HEIGHT, WIDTH, 3))
    assert bool(fetches.count) == in_bands


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_strips_that_break_off_are_corrupt(in_bands: bool, share: float) -> None:
    data = _tiff_of_strips()
    cut = data[: int(share * len(data))]
    with pytest.raises(RecordError) as caught:
        _joined(image_bands(memoryview(cut), AS_IS, 13))
    assert caught.value.reason == Reason.CORRUPT


@pytest.mark.parametrize("name", ["png", "tiff, lzw"])
def test_damage_in_the_middle_is_corrupt(in_bands: bool, name: str) -> None:
    whole = _plain(name)
    middle = len(whole) // 2
    data = whole[:middle] + bytes(400) + whole[middle + 400 :]
    with pytest.raises(RecordError) as caught:
        _joined(image_bands(memoryview(data), AS_IS, 10))
    assert caught.value.reason == Reason.CORRUPT


@pytest.mark.parametrize(("data", "reason"), [(b"", Reason.EMPTY), (b"no image" * 9, None)])
def test_what_is_no_image_is_said_at_once(data: bytes, reason: Reason | None) -> None:
    with pytest.raises(RecordError) as caught:
        image_bands(memoryview(data), AS_IS, 10)
    assert caught.value.reason == (reason or Reason.NOT_AN_IMAGE)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["png", "jpeg 4:4:4", "tiff, lzw"])
def test_rows_are_as_they_are_stored_and_the_orientation_is_told(
    in_bands: bool, name: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    data = _plain(name, exif=exif)
    found = image_bands(memoryview(data), AS_IS, 32)
    assert found.stored == Stored(WIDTH, HEIGHT, orientation)
    upright = decode_as_is(data, 1 << 20)
    pixels = _joined(found)
    assert pixels.shape[:2] == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(pixels, turned_back(upright, orientation))


def test_an_orientation_that_there_is_not_is_upright(in_bands: bool) -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 9
    found = image_bands(memoryview(_plain("jpeg 4:4:4", exif=exif)), AS_IS, 32)
    assert found.stored == Stored(WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"channels": 1, "bits": 8}, (1, np.uint8)),
        ({"channels": 3, "bits": 16}, (3, np.uint16)),
        ({"channels": 1, "bits": 12}, (1, np.uint16)),
        ({"channels": 4, "bits": 8}, (4, np.uint8)),
    ],
)
def test_channels_and_bits_are_converted_where_that_is_set(
    in_bands: bool, wanted: dict[str, int], expected: tuple[int, type]
) -> None:
    data = _plain("png")
    config = ImageConfig(convert=True, **wanted)
    pixels = _joined(image_bands(memoryview(data), config, 32))
    assert (pixels.shape, pixels.dtype) == ((HEIGHT, WIDTH, expected[0]), np.dtype(expected[1]))
    source = _smooth(HEIGHT, WIDTH, 3)
    if expected[0] == 1:
        source = np.asarray(Image.fromarray(source).convert("L"))[..., None]
    exact = source * (config.greatest_level / 255)
    tolerance = 0 if config.bits == 8 else config.greatest_level // 255
    assert np.abs(pixels[..., :3] - exact).max() <= tolerance
    if expected[0] == 4:
        assert (pixels[..., 3] == 255).all()


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"channels": 1, "bits": 8}, Reason.WRONG_CHANNELS),
        ({"channels": 3, "bits": 16}, Reason.WRONG_BITS),
    ],
)
def test_others_are_rejected(in_bands: bool, wanted: dict[str, int], reason: Reason) -> None:
    data = _plain("png")
    with pytest.raises(RecordError) as caught:
        _joined(image_bands(memoryview(data), ImageConfig(**wanted), 32))
    assert caught.value.reason == reason


def test_in_bands_there_may_be_more_pixels_than_the_configured(
    fetches: Fetches, in_bands: bool
) -> None:
    data, config = memoryview(_plain("png")), ImageConfig(max_pixels=2000)
    if in_bands:
        np.testing.assert_array_equal(
            _joined(image_bands(data, config, 32)), _smooth(HEIGHT, WIDTH, 3)
        )
        assert fetches.count
        return
    with pytest.raises(RecordError, match=r"the limit is image.max_pixels = 2000$") as caught:
        image_bands(data, config, 32)
    assert caught.value.reason == Reason.TOO_LARGE


@pytest.mark.parametrize("name", _others())
def test_more_pixels_than_the_configured_are_too_many_where_all_are_needed(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(bands, "_WHOLE_PIXELS", 1000)
    with pytest.raises(
        RecordError, match=r"the limit is image.max_pixels.* = (2000|666)"
    ) as caught:
        image_bands(memoryview(_others()[name]), ImageConfig(max_pixels=2000), 32)
    assert caught.value.reason == Reason.TOO_LARGE


def test_in_bands_too_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "_WHOLE_PIXELS", 1000)
    monkeypatch.setattr(bands, "_MOST_PIXELS", HEIGHT * WIDTH - 1)
    with pytest.raises(RecordError, match=f"in bands: {WIDTH} x {HEIGHT} pixels") as caught:
        image_bands(memoryview(_plain("png")), AS_IS, 32)
    assert caught.value.reason == Reason.TOO_LARGE


@pytest.fixture
def no_vips(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if pyvips were not installed."""
    original = importlib.util.find_spec
    bands._has_vips.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *rest: None if name == "pyvips" else original(name, *rest),
        )
        yield
    bands._has_vips.cache_clear()


@pytest.mark.usefixtures("no_vips")
@pytest.mark.parametrize("name", PLAIN)
def test_without_vips_images_are_decoded_as_a_whole(
    fetches: Fetches, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(bands, "_WHOLE_PIXELS", 1000)
    data = _plain(name)
    found = _joined(image_bands(memoryview(data), AS_IS, 32))
    np.testing.assert_array_equal(found, decode_as_is(data, 1 << 20))
    assert fetches.count == 0


@pytest.mark.usefixtures("no_vips")
def test_without_vips_a_large_image_is_refused_with_advice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bands, "_WHOLE_PIXELS", 1000)
    told = (
        "the limit is image.max_pixels = 2000; "
        "larger JPEGs, PNGs and TIFFs need the extra 'tiles': "
        r"pip install 'latentbeam\[tiles\]'$"
    )
    with pytest.raises(RecordError, match=told) as caught:
        image_bands(memoryview(_plain("png")), ImageConfig(max_pixels=2000), 32)
    assert caught.value.reason == Reason.TOO_LARGE


@pytest.mark.parametrize("rows", [1, 7, 150, 1000])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_raw_pixels_are_cut_likewise(rows: int, dtype: str) -> None:
    pixels = _smooth(HEIGHT, WIDTH, 3).astype(dtype)
    found = raw_bands(pixels, AS_IS, rows)
    assert found.stored == Stored(WIDTH, HEIGHT)
    parts = list(found.rows)
    assert len(parts) == -(-HEIGHT // rows)
    np.testing.assert_array_equal(np.concatenate(parts), pixels)


def test_raw_pixels_obey_the_configuration() -> None:
    pixels = _smooth(HEIGHT, WIDTH, 3)
    grey = _joined(raw_bands(pixels, ImageConfig(channels=1, bits=8, convert=True), 32))
    expected = np.asarray(Image.fromarray(pixels).convert("L"))
    np.testing.assert_array_equal(grey[..., 0], expected)
    for config, reason in (
        (ImageConfig(max_pixels=2000), Reason.TOO_LARGE),
        (ImageConfig(channels=1, bits=8), Reason.WRONG_CHANNELS),
        (ImageConfig(channels=3, bits=16), Reason.WRONG_BITS),
    ):
        with pytest.raises(RecordError) as caught:
            raw_bands(pixels, config, 32)
        assert caught.value.reason == reason


def test_the_file_is_held_until_its_rows_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "_WHOLE_PIXELS", 100)
    pixels = np.random.default_rng(3).integers(0, 256, (400, 300, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    data = file.getvalue()
    del file
    rows = image_bands(memoryview(data), AS_IS, 32).rows
    del data
    others = [bytes([k]) * 363_000 for k in range(50)]  # takes its place
    np.testing.assert_array_equal(np.concatenate(list(rows)), pixels)
    del others
