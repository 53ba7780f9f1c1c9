"""The limits of an image of any format: its pixels, and the pixels per byte."""

from transforms.records.rejects import Reason, RecordError

_ANY_DENSITY_PIXELS, _PIXELS_A_BYTE = 1 << 24, 1032


def check_pixels(width: int, height: int, max_pixels: int, what: str = "", share: str = "") -> None:
    """Raises RecordError, reason `too_large`, for more pixels than the limit."""
    if width * height > max_pixels:
        raise RecordError(
            Reason.TOO_LARGE,
            f"{what}{width} x {height} pixels; the limit is image.max_pixels{share} = {max_pixels}",
        )


def check_density(width: int, height: int, size: int) -> None:
    """Raises RecordError, reason `too_large`, for a large image from very few bytes, `size`: what
    compresses better than zeros in a PNG was made to be large."""
    if width * height > max(_ANY_DENSITY_PIXELS, _PIXELS_A_BYTE * size):
        raise RecordError(
            Reason.TOO_LARGE,
            f"{width} x {height} pixels from {size} bytes; the limit is {_PIXELS_A_BYTE} per byte",
        )
