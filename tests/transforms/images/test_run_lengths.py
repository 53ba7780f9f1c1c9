"""Run-length coded bitmaps: the pixels of another decoder, or a reject where Pillow misreads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.images.decoding import decode_as_is
from transforms.images.limits.bmp import _RLE4, _RLE8, _bitmap, pillow_misreads
from transforms.records.rejects import Reason, RecordError

WIDTH, HEIGHT = 6, 4


def _indices(codes: bytes, coding: int) -> np.ndarray:
    """As the format's description states, a pixel at a time: (H, W), top row first."""
    pixels = np.zeros((HEIGHT, WIDTH), int)
    place = x = y = 0
    while True:
        count, value = codes[place], codes[place + 1]
        place += 2
        if count == 0 and value == 1:
            return pixels[::-1]
        if count == 0 and value == 0:
            x, y = 0, y + 1
            continue
        if count == 0 and value == 2:
            x, y, place = x + codes[place], y + codes[place + 1], place + 2
            continue
        if count:
            values = [value] * count if coding == _RLE8 else [value >> 4, value & 15] * count
            values = values[:count]
        else:
            size = value if coding == _RLE8 else -(-value // 2)
            part = codes[place : place + size]
            place += size + size % 2
            halves = [half for byte in part for half in (byte >> 4, byte & 15)]
            values = list(part) if coding == _RLE8 else halves[:value]
        for index in values:
            pixels[y, x], x = index, x + 1


@st.composite
def _codes(draw: st.DrawFn, coding: int) -> bytes:
    """Rows filled with runs and literal pixels, using only codes that encoders write."""
    codes = b""
    for row in range(HEIGHT):
        left = WIDTH
        while left:
            count = draw(st.integers(1, left))
            values = draw(st.lists(st.integers(0, 15), min_size=count, max_size=count))
            if count < 3 or draw(st.booleans()):
                second = values[0] if coding == _RLE8 else values[0] << 4 | values[-1]
                codes += bytes([count, second])
            elif coding == _RLE8:
                codes += bytes([0, count, *values, *[0] * (count % 2)])
            else:
                values += [0] * (-count % 4)
                pairs = zip(values[::2], values[1::2], strict=True)
                codes += bytes([0, count, *(high << 4 | low for high, low in pairs)])
            left -= count
        codes += bytes([0, 0]) if row < HEIGHT - 1 else bytes([0, 1])
    return codes


@pytest.mark.parametrize("coding", [_RLE8, _RLE4])
@settings(deadline=None)
@given(data=st.data())
def test_pixels_are_right_or_refused(coding: int, data: st.DataObject) -> None:
    codes = data.draw(_codes(coding))
    try:
        found = decode_as_is(_bitmap(WIDTH, HEIGHT, coding, codes), 100)
    except RecordError as error:
        assert error.reason == Reason.CORRUPT  # noqa: PT017 - either outcome is right
        assert "misreads" in str(error)  # noqa: PT017
        assert coding == _RLE4
        return
    expected = _indices(codes, coding)
    np.testing.assert_array_equal(found[..., 2], expected)  # blues of the palette are indices
    np.testing.assert_array_equal(found[..., 0], 255 - expected)


@pytest.mark.skipif(not pillow_misreads(), reason="this Pillow reads them")
@pytest.mark.parametrize(
    ("coding", "codes", "words"),
    [
        (_RLE4, [0, 3, 0x12, 0x30, 3, 1, 0, 1], "odd number"),
        (_RLE8, [6, 1, 0, 0, 0, 0, 6, 2, 0, 1], "empty row"),
        (_RLE8, [5, 1, 0, 3, 1, 2, 3, 0, 0, 1], "beyond the end of a row"),
        (_RLE8, [6, 1, 0, 2, 1, 1, 0, 1], "beyond the end of a row"),
    ],
)
def test_what_pillow_misreads_is_refused_with_its_version(
    coding: int, codes: list[int], words: str
) -> None:
    with pytest.raises(RecordError, match=f"{words}.*Pillow [0-9.]+ misreads"):
        decode_as_is(_bitmap(WIDTH, HEIGHT, coding, bytes(codes)), 100)
