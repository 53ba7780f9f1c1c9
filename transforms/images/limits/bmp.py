"""The limits of a BMP of run lengths."""

import struct

from transforms.images.limits.size import check_pixels
from transforms.records.rejects import Reason, RecordError

# Pillow's decoder of run lengths is Python, and skips 255 rows at a time.
_RLE_SIDE, _RLE_PIXELS, _RLE_BYTES = 1 << 16, 1 << 24, 8 << 20


def check_bmp(data: bytes, max_pixels: int) -> None:
    """Run lengths alone: all other bitmaps are as large as their file."""
    (header,) = struct.unpack_from("<I", data, 14)
    if header == 12 or struct.unpack_from("<I", data, 30)[0] not in (1, 2):
        return
    width, height = struct.unpack_from("<ii", data, 18)
    width, height = width & 0xFFFFFFFF, abs(height)
    if width > _RLE_SIDE or width * height > _RLE_PIXELS or len(data) > _RLE_BYTES:
        raise RecordError(
            Reason.TOO_LARGE,
            f"a run-length coded BMP of {width} x {height} pixels and {len(data)} bytes, more than "
            f"{_RLE_SIDE} wide, {_RLE_PIXELS} pixels or {_RLE_BYTES} bytes",
        )
    check_pixels(width, height, max_pixels)
