"""The limits of a run-length coded BMP, and BMPs that Pillow misreads."""

import functools
import io
import struct
from collections.abc import Iterator

import PIL
from PIL import Image

from transforms.images.limits.size import check_pixels
from transforms.records.rejects import Reason, RecordError

# Pillow's run-length decoder is written in Python, and skips 255 rows at a time.
_RLE_SIDE, _RLE_PIXELS, _RLE_BYTES = 1 << 16, 1 << 24, 8 << 20
_FILE_HEADER, _OS2_HEADER, _RLE8, _RLE4 = 14, 12, 1, 2
_END_OF_LINE, _END, _DELTA = 0, 1, 2  # after a count of 0; a greater number counts pixels
_RUN, _LITERAL = -1, -2


def check_bmp(data: bytes, max_pixels: int, header: int = _FILE_HEADER) -> None:
    """Checks run lengths only: all other bitmaps are as large as their file.

    Args:
      header: where the bitmap's header begins: after the file header, if there is one.
    """
    (size,) = struct.unpack_from("<I", data, header)
    coding = 0 if size == _OS2_HEADER else struct.unpack_from("<I", data, header + 16)[0]
    if coding not in (_RLE8, _RLE4):
        return
    width, height = struct.unpack_from("<ii", data, header + 4)
    width, height = width & 0xFFFFFFFF, abs(height)
    if width > _RLE_SIDE or width * height > _RLE_PIXELS or len(data) > _RLE_BYTES:
        raise RecordError(
            Reason.TOO_LARGE,
            f"a run-length coded BMP of {width} x {height} pixels and {len(data)} bytes; the "
            f"limits are {_RLE_SIDE} pixels wide, {_RLE_PIXELS} pixels and {_RLE_BYTES} bytes",
        )
    check_pixels(width, height, max_pixels)
    if header == 0:
        raise RecordError(Reason.CORRUPT, "BMP: run lengths without a file header are unsupported")
    (start,) = struct.unpack_from("<I", data, 10)
    fault = _fault(data, start, width, coding)
    if fault and pillow_misreads():
        raise RecordError(
            Reason.CORRUPT,
            f"BMP: run lengths with {fault}, which Pillow {PIL.__version__} misreads; save it as "
            "PNG",
        )


def _fault(data: bytes, start: int, width: int, coding: int) -> str | None:
    """What Pillow 12.3 misinterprets in the codes from `start`, or None."""
    column = 0
    for code, pixels in _codes(data, start, coding):
        column += pixels
        if code == _RUN:
            column = min(column, width)
        elif code == _END_OF_LINE:
            if column == 0:
                return "an empty row"
            column = 0
        elif column > width or (code == _DELTA and column == width):
            return "a jump or literal pixels beyond the end of a row"
        elif code == _LITERAL and coding == _RLE4 and pixels % 2:
            return "an odd number of literal pixels"
        elif code == _LITERAL and start % 2:
            return "literal pixels after an odd offset"
    return None


def _codes(data: bytes, place: int, coding: int) -> Iterator[tuple[int, int]]:
    """The kind of each code, and the number of columns by which it moves to the right."""
    while True:
        count, value = data[place], data[place + 1]
        place += 2
        if count:
            yield _RUN, count
        elif value == _DELTA:
            yield _DELTA, data[place]
            place += 2
        elif value > _DELTA:
            yield _LITERAL, value
            size = (value + 1) // 2 if coding == _RLE4 else value
            place += size + size % 2
        else:
            yield value, 0
            if value == _END:
                return


@functools.cache
def pillow_misreads() -> bool:
    """Whether the installed Pillow misreads either of two bitmaps: 3 × 1 with an odd number of
    literal pixels, and 2 × 2 with an empty lower row."""
    odd = _bitmap(3, 1, _RLE4, bytes([0, 3, 0x12, 0x30, 0, 1]))
    empty = _bitmap(2, 2, _RLE8, bytes([0, 0, 2, 1, 0, 1]))
    return _indices(odd) != [1, 2, 3] or _indices(empty) != [1, 1, 0, 0]


def _indices(bitmap: bytes) -> list[int] | None:
    try:
        with Image.open(io.BytesIO(bitmap), formats=("BMP",)) as image:
            return list(image.tobytes())
    except (OSError, ValueError):
        return None


def _bitmap(width: int, height: int, coding: int, codes: bytes) -> bytes:
    """A bitmap with 16 colours, or the first 16 of 256, all different and none of them grey."""
    palette = b"".join(bytes([level, 0, 255 - level, 0]) for level in range(16))
    bits = 8 if coding == _RLE8 else 4
    sizes = (len(codes), 0, 0, 16, 0)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, coding, *sizes)
    start = _FILE_HEADER + len(header) + len(palette)
    head = struct.pack("<2sIII", b"BM", start + len(codes), 0, start)
    return head + header + palette + codes
