"""TIFFs with more than 8 bits: levels as tifffile reads them, or a reject with the reason."""

import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from ae_models.config.configuration import ImageConfig
from transforms.images.decoding import decode_image
from transforms.records.rejects import Reason, RecordError

AS_IS = ImageConfig()
HEIGHT, WIDTH = 37, 45
LAYOUTS: dict[str, dict[str, Any]] = {
    "one strip": {},
    "strips": {"rowsperstrip": 8},
    "tiles": {"tile": (16, 32)},
    "planes": {"planarconfig": "separate"},
    "strips of planes": {"planarconfig": "separate", "rowsperstrip": 8},
    "tiles of planes": {"planarconfig": "separate", "tile": (16, 32)},
    "deflated": {"compression": "zlib", "rowsperstrip": 8},
    "deflated differences": {"compression": "zlib", "predictor": True, "rowsperstrip": 8},
    "deflated tiles": {"compression": "zlib", "predictor": True, "tile": (16, 32)},
    "BigTIFF": {"bigtiff": True},
}


BIG_ENDIAN_BIG = ("BigTIFF", ">")


def _written(pixels: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    options.setdefault("photometric", "rgb" if pixels.ndim == 3 else "minisblack")
    tifffile.imwrite(file, pixels, metadata=None, **options)
    return file.getvalue()


def _noise(*shape: int, most: int = 65535) -> np.ndarray:
    return np.random.default_rng(1).integers(0, most, shape, endpoint=True)


def _refused(data: bytes, *words: str) -> None:
    with pytest.raises(RecordError) as caught:
        decode_image(data, AS_IS)
    assert caught.value.reason == Reason.WRONG_BITS
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colours_are_exact(channels: int, layout: str, order: str) -> None:
    pixels = _noise(HEIGHT, WIDTH, channels).astype(np.uint16)
    options = LAYOUTS[layout] | ({"extrasamples": ["unassalpha"]} if channels == 4 else {})
    if "planarconfig" in options:
        pixels = pixels.transpose(2, 0, 1)
    data = _written(pixels, byteorder=order, **options)
    expected = tifffile.imread(io.BytesIO(data))
    expected = expected.transpose(1, 2, 0) if "planarconfig" in options else expected
    if (layout, order) == BIG_ENDIAN_BIG:
        with pytest.raises(RecordError, match="misreads"):
            decode_image(data, AS_IS)
        return
    found = decode_image(data, AS_IS)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, expected)
    if "planarconfig" not in options:  # Pillow misreads some of these
        with Image.open(io.BytesIO(data)) as cut:  # to the high bytes
            np.testing.assert_array_equal(found >> 8, np.asarray(cut))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["uint16", "int16", "int32", "uint32", "float32"])
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if "planes" not in name])
def test_whole_levels_of_other_types_are_exact(layout: str, kind: str, order: str) -> None:
    most = 32767 if kind == "int16" else 65535
    pixels = _noise(HEIGHT, WIDTH, most=most).astype(kind)
    options = dict(LAYOUTS[layout])
    if kind.startswith("float"):
        options.pop("predictor", None)
    data = _written(pixels, byteorder=order, **options)
    # Pillow misreads the first and cannot open the others.
    if (layout, order) == BIG_ENDIAN_BIG or (order == ">" and kind == "uint32"):
        with pytest.raises(RecordError, match=r"misreads|needs an unsupported feature"):
            decode_image(data, AS_IS)
        return
    found = decode_image(data, AS_IS)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found[..., 0], tifffile.imread(io.BytesIO(data)))


@pytest.mark.parametrize("white", [255, 65535])
def test_shares_of_white_are_levels_of_16_bits(white: int) -> None:
    levels = _noise(HEIGHT, WIDTH, most=white)
    levels.flat[:3] = 0, 1, white
    data = _written((levels / white).astype(np.float32))
    np.testing.assert_array_equal(decode_image(data, AS_IS)[..., 0], levels * (65535 // white))


@pytest.mark.parametrize("white_is_zero", [np.uint16, np.int16, np.float32])
def test_levels_whose_white_is_zero_are_turned_over(white_is_zero: Any) -> None:
    levels = _noise(HEIGHT, WIDTH, most=32767).astype(white_is_zero)
    data = _written(levels, photometric="miniswhite")
    if white_is_zero is np.int16:  # Pillow cannot open these
        with pytest.raises(RecordError, match="needs an unsupported feature"):
            decode_image(data, AS_IS)
        return
    np.testing.assert_array_equal(decode_image(data, AS_IS)[..., 0], 65535 - levels.astype(int))


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.array([[-1, 5]], np.int16), ("-1", "5", "save it as")),
        (np.array([[0, 70_000]], np.int32), ("70000",)),
        (np.array([[0, 2**31 + 1]], np.uint32), (str(2**31 + 1),)),
        (np.array([[0.0, 0.3]], np.float32), ("0.3", "share of 65535")),
        (np.array([[0.0, 2.5]], np.float32), ("2.5", "level of 65535")),
        (np.array([[0.0, np.nan]], np.float32), ("nan",)),
        (np.array([[0.0, np.inf]], np.float32), ("inf",)),
        (np.array([[0.0, 1.0]], np.float32), ("all samples are 0 or 1",)),
        (np.array([[0, -1]], np.int8), ("signed",)),
    ],
)
def test_levels_that_16_bits_do_not_hold_are_refused(
    pixels: np.ndarray, words: tuple[str, ...]
) -> None:
    _refused(_written(pixels), "TIFF of ", *words)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_all_black_is_black(dtype: Any) -> None:
    assert not decode_image(_written(np.zeros((3, 4), dtype)), AS_IS).any()


def test_signed_bytes_without_negative_levels_are_what_they_are() -> None:
    pixels = _noise(3, 4, most=127).astype(np.int8)
    np.testing.assert_array_equal(decode_image(_written(pixels), AS_IS)[..., 0], pixels)


@pytest.mark.parametrize("alpha", ["assocalpha", "unspecified"])
def test_a_fourth_sample_is_alpha_only_where_it_is_said(alpha: str) -> None:
    pixels = _noise(3, 4, 4).astype(np.uint16)
    data = _written(pixels, extrasamples=[alpha])
    if alpha == "assocalpha":
        _refused(data, "plain alpha")
    else:  # as Pillow reads 8 bits
        np.testing.assert_array_equal(decode_image(data, AS_IS), pixels[..., :3])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied(orientation: int) -> None:
    places = np.arange(35).reshape(5, 7)
    tags = [(274, 3, 1, orientation, True)]
    deep = decode_image(
        _written(np.stack([places * 900] * 3, -1).astype("u2"), extratags=tags), AS_IS
    )
    plain = decode_image(_written(np.stack([places] * 3, -1).astype("u1"), extratags=tags), AS_IS)
    np.testing.assert_array_equal(deep, plain.astype(int) * 900)


def test_12_bits_in_a_row_are_read_as_they_are() -> None:
    """Two samples in three bytes, as TIFF 6.0 specifies; tifffile needs another package for it."""
    first, second = np.array([[0, 4095, 1]]), np.array([[7, 2048, 4095]])
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1)
    data = bytearray(_written(np.zeros((1, 9), np.uint8)))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages[0].tags
        struct.pack_into("<I", data, tags[256].valueoffset, 6)
        struct.pack_into("<H", data, tags[258].valueoffset, 12)
        start = file.pages[0].dataoffsets[0]
    data[start : start + 9] = packed.astype(np.uint8).tobytes()
    expected = np.stack([first, second], -1).reshape(1, 6, 1)
    np.testing.assert_array_equal(decode_image(bytes(data), AS_IS), expected)
    np.testing.assert_array_equal(decode_image(bytes(data), ImageConfig(bits=12)), expected)
    for bits in (10, 8):
        with pytest.raises(RecordError) as caught:
            decode_image(bytes(data), ImageConfig(bits=bits, convert=True))
        assert caught.value.reason == Reason.WRONG_BITS


def test_wide_samples_count_for_several_pixels() -> None:
    data = _written(np.zeros((10, 10, 4), np.uint16), extrasamples=["unassalpha"])
    decode_image(data, ImageConfig(max_pixels=200))
    with pytest.raises(RecordError) as caught:
        decode_image(data, ImageConfig(max_pixels=199))
    assert caught.value.reason == Reason.TOO_LARGE
