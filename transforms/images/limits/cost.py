"""Limits on the cost of decoding an image of any format."""

import contextlib
import struct
from collections.abc import Callable

from transforms.images.limits.bmp import check_bmp
from transforms.images.limits.gif import SIGNATURES as GIFS
from transforms.images.limits.gif import check_gif
from transforms.images.limits.jpeg import check_jpeg
from transforms.images.limits.png import check_png
from transforms.images.limits.tiff import check_tiff
from transforms.images.limits.webp import check_webp
from transforms.images.png import SIGNATURE
from transforms.records.signatures import START_BYTES, is_headless_bitmap

_JPEG = b"\xff\xd8\xff"
_TIFFS = (b"MM\0*", b"II*\0", b"MM*\0", b"II\0*", b"MM\0+", b"II+\0")
_CHECKS: tuple[tuple[bytes | tuple[bytes, ...], Callable[[bytes, int], None]], ...] = (
    (_JPEG, check_jpeg),
    (SIGNATURE, check_png),
    (b"RIFF", check_webp),
    (_TIFFS, check_tiff),
    (GIFS, check_gif),
    (b"BM", check_bmp),
)


def check_cost(data: bytes, max_pixels: int) -> None:
    """Raises RecordError if decoding `data` could cost more than its pixels account for: reason
    `too_large` for a size, `corrupt` for a structure that no encoder produces.

    Truncated data and data in an unrecognised format pass: the decoder reports what is wrong.
    """
    if is_headless_bitmap(data[:START_BYTES]):
        check_bmp(data, max_pixels, header=0)
    for starts, check in _CHECKS:
        if data.startswith(starts):
            with contextlib.suppress(struct.error, IndexError):  # the data end early
                check(data, max_pixels)
            return
