"""The decoders: one encoded image to its original pixels, with Pillow, libpng and NumPy.

Errors that they are known to raise on bad data become a `RecordError`; others are not caught.
"""

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from ae_models.config.configuration import ImageConfig
from transforms.images.fitting import Box, reduction
from transforms.images.limits.cost import check_cost
from transforms.images.limits.exif import check_exif
from transforms.images.limits.size import check_density, check_pixels
from transforms.images.orientation import (
    SIDEWAYS,
    Stored,
    known_orientation,
    upright,
    upright_box,
)
from transforms.images.png import CHANNELS, chunks, colour_type, is_16_bit
from transforms.images.png_rows import row_bytes_missing
from transforms.images.tiff_samples import tiff_levels
from transforms.records.pixels import Layout
from transforms.records.rejects import Reason, RecordError
from transforms.records.signatures import START_BYTES, foreign, kind_of

_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "DIB", "GIF")
# What Pillow's plugins for these formats raise on bad data: docs/explanation/untrusted_input.md.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, OverflowError)
_DEPTH_16_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
_DEPTH_32_MODES = ("I", "F")
_JPEG_FORMATS = ("JPEG", "MPO")  # MPO: several JPEGs in one file, of which the first is read
_ORIENTATION_TAG, _BITS_TAG, _PHOTOMETRIC_TAG, _FORMAT_TAG = 0x0112, 0x0102, 0x0106, 0x0153
_EXIF_PROFILE = "Raw profile type exif"  # how ImageMagick stores EXIF in a PNG
_SIGNED = 2  # TIFF sample format
_SURPLUS_BYTES = 4 << 20  # in smaller files, inflating surplus data takes a second or two
# Modes that store grey levels or colours directly; every other mode is expanded to one of them.
_PLAIN_MODES = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "1": "L"}
_CHANNELS_OF_MODE = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
_TEXTS, _LONGEST_KEYWORD = (b"tEXt", b"zTXt", b"iTXt"), 79  # in a PNG


class Decoded(NamedTuple):
    """An image's pixels, (H, W, C) uint8 or uint16, upright; the box of the image in them; and how
    its file stores it."""

    pixels: np.ndarray
    box: Box
    stored: Stored


def decoded(data: bytes, config: ImageConfig) -> Decoded:
    """The image's original pixels; for a JPEG, perhaps reduced, as `config.reduce` allows.

    Raises:
      RecordError: the data are empty, not an image, damaged or too large, or have levels that do
        not fit 16 bits.
    """
    with _checked(data, config.max_pixels) as image:
        size = image.size
        if is_16_bit(data):
            _check_surplus(data)
            return _upright(_decode_16_bit_png(data), None, size, _orientation(image))
        tags = getattr(image, "tag_v2", {})
        turned = tags.get(_ORIENTATION_TAG, 1)
        if image.format == "TIFF" and turned in SIDEWAYS:  # Pillow has swapped the sides
            size = size[::-1]
        if _has_no_mode(image):
            return _upright(tiff_levels(data, image, config.max_pixels), None, size, turned)
        _check_said_bits(image, config)
        box = _reduce(image, config)
        image.load()  # a PNG's orientation may follow its pixels; loading a TIFF rotates it
        if image.format == "PNG":
            _check_rows(image, data)
        if image.format == "TIFF":
            pixels, box, _ = _upright(_pixels(image), box, size, 1)
            return Decoded(pixels, box, Stored(*size, known_orientation(turned)))
        return _upright(_pixels(image), box, size, _orientation(image))


def layout_by_header(data: bytes, max_pixels: int) -> Layout | None:
    """The shape (H, W, C) and type of the pixels that `decoded` returns for an unreduced image,
    without decoding them: they may still be damaged. None if the header is not enough.

    Raises:
      RecordError: the data are empty, not an image, damaged or too large.
    """
    with _checked(data, max_pixels) as image:
        if _has_no_mode(image) or (image.format == "PNG" and _may_be_turned(data)):
            return None
        width, height = image.size
        # Reading a PNG's orientation would decode its pixels; a TIFF's sides are already swapped.
        if image.format not in ("PNG", "TIFF") and _orientation(image) in SIDEWAYS:
            width, height = height, width
        if is_16_bit(data):
            channels = CHANNELS.get(colour_type(data), 0)
            return ((height, width, channels), np.dtype(np.uint16)) if channels else None
        if image.mode in _DEPTH_16_MODES:
            return (height, width, 1), np.dtype(np.uint16)
        return (height, width, _CHANNELS_OF_MODE[_mode(image)]), np.dtype(np.uint8)


@contextlib.contextmanager
def _checked(data: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """The image, opened but not loaded, after checking everything that may be too large."""
    if not data:
        raise RecordError(Reason.EMPTY, "the image has zero bytes")
    check_cost(data, max_pixels)
    with _open(data) as image:
        check_pixels(image.width, image.height, max_pixels)
        check_density(image.width, image.height, len(data))
        with _damage(f"{image.format}: "):
            yield image


@contextlib.contextmanager
def _damage(what: str = "") -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise RecordError(Reason.CORRUPT, f"{what}{error}") from error


def _open(data: bytes) -> Image.Image:
    start = data[:START_BYTES]
    kind = kind_of(start)
    # What begins like a TIFF may be a camera's raw file, of which Pillow would return a preview.
    if kind is None and (known := foreign(start)):
        raise RecordError(Reason.NOT_AN_IMAGE, known)
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        if kind and kind.is_image:
            what = f"{kind.upper()}: its header is damaged or needs an unsupported feature"
            raise RecordError(Reason.CORRUPT, what) from error
        words = foreign(start) or "unrecognised image format"
        raise RecordError(Reason.NOT_AN_IMAGE, words) from error
    except _DAMAGE as error:
        what = f"{kind.upper()}: {error}" if kind else str(error)
        raise RecordError(Reason.CORRUPT, what) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RecordError(Reason.TOO_LARGE, str(error)) from error


def _pixels(image: Image.Image) -> np.ndarray:
    tags = getattr(image, "tag_v2", {})
    if image.mode in _DEPTH_16_MODES:
        levels = np.asarray(image).astype(np.uint16)[..., None]
        # If white is 0, Pillow inverts 8-bit levels, but not 16-bit levels.
        return 65535 - levels if tags.get(_PHOTOMETRIC_TAG) == 0 else levels
    mode = _mode(image)
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    if _SIGNED in tags.get(_FORMAT_TAG, ()) and pixels.max() > 127:  # Pillow reads them unsigned
        raise RecordError(Reason.WRONG_BITS, "TIFF of signed 8-bit samples with negative levels")
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _mode(image: Image.Image) -> str:
    """The plain mode that an 8-bit image is expanded to."""
    if image.mode == "P" and image.palette is None:
        raise RecordError(Reason.CORRUPT, f"{image.format}: palette indices without a palette")
    mode = _PLAIN_MODES.get(image.mode)
    return mode or ("RGBA" if image.has_transparency_data else "RGB")


def _may_be_turned(data: bytes) -> bool:
    """Whether a PNG has anything that may contain an orientation: EXIF or XMP, also as text."""
    for kind, start, end in chunks(data):
        keyword = data[start : min(end, start + _LONGEST_KEYWORD)].partition(b"\0")[0].lower()
        is_told = kind in _TEXTS and (b"exif" in keyword or b"xmp" in keyword)
        if kind == b"eXIf" or is_told:
            return True
    return False


def _has_no_mode(image: Image.Image) -> bool:
    """Whether it is a TIFF whose samples Pillow would truncate to 8 bits or read as larger ones."""
    stored = max(getattr(image, "tag_v2", {}).get(_BITS_TAG, (8,)))
    return image.mode in _DEPTH_32_MODES or (stored > 8 and image.mode not in _DEPTH_16_MODES)


def _check_said_bits(image: Image.Image, config: ImageConfig) -> None:
    """A 12-bit TIFF would be nearly black if its levels were treated as 16-bit levels."""
    if getattr(image, "tag_v2", {}).get(_BITS_TAG) == (12,) and config.bits == 8:
        raise RecordError(Reason.WRONG_BITS, "12-bit TIFF, expected 8 bits; set image.bits=12")


def _decode_16_bit_png(data: bytes) -> np.ndarray:
    """Pillow drops the low byte of 16-bit colour; TensorFlow preserves it."""
    import tensorflow as tf  # noqa: PLC0415 - takes seconds, and few images need it

    try:
        return tf.io.decode_png(data, dtype=tf.uint16).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise RecordError(Reason.CORRUPT, f"PNG: {error.message}") from error


def _check_rows(image: Image.Image, data: bytes) -> None:
    """Pillow leaves missing rows zero. As rows may really be zero, the data of an image with a zero
    last row are inflated again."""
    width, height = image.size
    last_row = image.crop((0, height - 1, width, height)).tobytes()
    if (image.info.get("interlace") or not last_row.strip(b"\0")) and row_bytes_missing(data) > 0:
        raise RecordError(Reason.CORRUPT, "PNG: the last rows are missing")


def _check_surplus(data: bytes) -> None:
    """libpng, unlike Pillow, inflates the data after the last row: zeros grow a thousandfold."""
    if len(data) > _SURPLUS_BYTES and row_bytes_missing(data) < 0:
        raise RecordError(Reason.CORRUPT, "PNG: more data than its rows need")


def _orientation(image: Image.Image) -> int:
    if image.format == "PNG":
        image.load()  # its EXIF may follow the pixels
    exif = image.info.get("exif")
    if exif is None and (profile := image.info.get(_EXIF_PROFILE)):
        exif = bytes.fromhex("".join(profile.split("\n")[3:]))  # as Pillow reads it
    if exif:
        check_exif(exif)
    return image.getexif().get(_ORIENTATION_TAG, 1)


def _reduce(image: Image.Image, config: ImageConfig) -> Box | None:
    """Makes libjpeg decode at a half, a quarter or an eighth, as `reduction` allows.

    Returns:
      The box of the image in the decoded pixels, of which the last row and column may be a
      fraction; None if it is decoded at full size.
    """
    if image.format not in _JPEG_FORMATS:
        return None
    width, height = image.size
    size = (width, height) if _orientation(image) in SIDEWAYS else (height, width)
    if (by := reduction(size, config)) == 1:
        return None
    # No mode: the luma of a JPEG differs from Pillow's grey by up to 29 levels.
    drafted = image.draft(None, (max(1, width // by), max(1, height // by)))
    return drafted and drafted[1]


def _upright(
    pixels: np.ndarray, box: Box | None, size: tuple[int, int], orientation: int
) -> Decoded:
    """`pixels` and the box in them, of an image stored as `size`, (width, height), rotated as the
    EXIF orientation number states."""
    number = known_orientation(orientation)
    height, width = pixels.shape[:2]
    box = upright_box(box or (0.0, 0.0, width, height), (height, width), number)
    return Decoded(upright(pixels, number), box, Stored(*size, number))
