"""The decoders: one encoded image to its own pixels, by Pillow, libpng and NumPy.

What they are known to raise on bad data is a `RecordError`; all else is raised as it is.
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
# What Pillow's plugins of these formats raise on bad data: docs/explanation/untrusted_input.md.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, OverflowError)
_DEPTH_16_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
_DEPTH_32_MODES = ("I", "F")
_JPEG_FORMATS = ("JPEG", "MPO")  # several JPEGs in one file, of which the first counts
_ORIENTATION_TAG, _BITS_TAG, _PHOTOMETRIC_TAG, _FORMAT_TAG = 0x0112, 0x0102, 0x0106, 0x0153
_EXIF_PROFILE = "Raw profile type exif"  # ImageMagick's way to keep EXIF in a PNG
_SIGNED = 2  # of a TIFF's samples
_SURPLUS_BYTES = 4 << 20  # of smaller files, what inflates needlessly takes a second or two
# Modes that hold grey levels or colours as they are; every other mode is expanded to one of them.
_PLAIN_MODES = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "1": "L"}
_CHANNELS_OF_MODE = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
_TEXTS, _LONGEST_KEYWORD = (b"tEXt", b"zTXt", b"iTXt"), 79  # of a PNG


class Decoded(NamedTuple):
    """An image's pixels, (H, W, C) uint8 or uint16, upright; what of them is the image; and how its
    file holds it."""

    pixels: np.ndarray
    box: Box
    stored: Stored


def decoded(data: bytes, config: ImageConfig) -> Decoded:
    """The image's own pixels; of a JPEG perhaps a fraction of them, as `config.reduce` allows.

    Raises:
      RecordError: empty, no image, damaged, too large, or of levels that 16 bits do not hold.
    """
    with _checked(data, config.max_pixels) as image:
        size = image.size
        if is_16_bit(data):
            _check_surplus(data)
            return _upright(_decode_16_bit_png(data), None, size, _orientation(image))
        tags = getattr(image, "tag_v2", {})
        turned = tags.get(_ORIENTATION_TAG, 1)
        if image.format == "TIFF" and turned in SIDEWAYS:  # Pillow has turned its sides
            size = size[::-1]
        if _has_no_mode(image):
            return _upright(tiff_levels(data, image, config.max_pixels), None, size, turned)
        _check_said_bits(image, config)
        box = _reduce(image, config)
        image.load()  # a PNG's orientation may follow its pixels, a TIFF turns itself
        if image.format == "PNG":
            _check_rows(image, data)
        if image.format == "TIFF":
            pixels, box, _ = _upright(_pixels(image), box, size, 1)
            return Decoded(pixels, box, Stored(*size, known_orientation(turned)))
        return _upright(_pixels(image), box, size, _orientation(image))


def layout_by_header(data: bytes, max_pixels: int) -> Layout | None:
    """The shape (H, W, C) and type of the pixels that `decoded` gives of an image as it is, without
    decoding them: they may be damaged all the same. None where the header alone cannot tell.

    Raises:
      RecordError: empty, no image, damaged or too large.
    """
    with _checked(data, max_pixels) as image:
        if _has_no_mode(image) or (image.format == "PNG" and _may_be_turned(data)):
            return None
        width, height = image.size
        # A PNG is asked nothing, as it would look behind its pixels; a TIFF has turned its sides.
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
    """The image opened, not loaded, once all that may be too large has been looked at."""
    if not data:
        raise RecordError(Reason.EMPTY, "zero bytes")
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
    # What begins as a TIFF may be a camera's raw file, of which Pillow gives a preview.
    if kind is None and (known := foreign(start)):
        raise RecordError(Reason.NOT_AN_IMAGE, known)
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        if kind and kind.is_image:
            what = f"{kind.upper()}: its header is damaged, or asks for what is not read"
            raise RecordError(Reason.CORRUPT, what) from error
        words = foreign(start) or "no known image format"
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
        # Pillow turns levels of 8 bits over whose white is 0, but not those of 16.
        return 65535 - levels if tags.get(_PHOTOMETRIC_TAG) == 0 else levels
    mode = _mode(image)
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    if _SIGNED in tags.get(_FORMAT_TAG, ()) and pixels.max() > 127:  # as if they were not
        raise RecordError(Reason.WRONG_BITS, "TIFF of 8 bits, signed, with negative levels")
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _mode(image: Image.Image) -> str:
    """The plain mode that an image of 8 bits is expanded to."""
    if image.mode == "P" and image.palette is None:
        raise RecordError(Reason.CORRUPT, f"{image.format}: palette indices without a palette")
    mode = _PLAIN_MODES.get(image.mode)
    return mode or ("RGBA" if image.has_transparency_data else "RGB")


def _may_be_turned(data: bytes) -> bool:
    """Whether a PNG has what an orientation may be in: EXIF or XMP, its own or as a text."""
    for kind, start, end in chunks(data):
        keyword = data[start : min(end, start + _LONGEST_KEYWORD)].partition(b"\0")[0].lower()
        is_told = kind in _TEXTS and (b"exif" in keyword or b"xmp" in keyword)
        if kind == b"eXIf" or is_told:
            return True
    return False


def _has_no_mode(image: Image.Image) -> bool:
    """Whether it is a TIFF whose samples Pillow would cut to 8 bits, or read as larger ones."""
    stored = max(getattr(image, "tag_v2", {}).get(_BITS_TAG, (8,)))
    return image.mode in _DEPTH_32_MODES or (stored > 8 and image.mode not in _DEPTH_16_MODES)


def _check_said_bits(image: Image.Image, config: ImageConfig) -> None:
    """A TIFF that says it has 12 bits is nearly black if its levels are taken for those of 16."""
    if getattr(image, "tag_v2", {}).get(_BITS_TAG) == (12,) and config.bits == 8:
        raise RecordError(Reason.WRONG_BITS, "TIFF of 12 bits, not 8: image.bits=12 reads them")


def _decode_16_bit_png(data: bytes) -> np.ndarray:
    """Pillow drops the low byte of 16-bit colour; TensorFlow keeps it."""
    import tensorflow as tf  # noqa: PLC0415 - seconds, which few images need

    try:
        return tf.io.decode_png(data, dtype=tf.uint16).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise RecordError(Reason.CORRUPT, f"PNG: {error.message}") from error


def _check_rows(image: Image.Image, data: bytes) -> None:
    """Pillow leaves rows that are not in the data zero. Rows may be zero in truth, so the data of
    such an image are inflated again."""
    width, height = image.size
    last_row = image.crop((0, height - 1, width, height)).tobytes()
    if (image.info.get("interlace") or not last_row.strip(b"\0")) and row_bytes_missing(data) > 0:
        raise RecordError(Reason.CORRUPT, "PNG: the last rows are missing")


def _check_surplus(data: bytes) -> None:
    """libpng, unlike Pillow, inflates what follows the last row: a thousandfold, of zeros."""
    if len(data) > _SURPLUS_BYTES and row_bytes_missing(data) < 0:
        raise RecordError(Reason.CORRUPT, "PNG: more data than rows")


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
    """Has libjpeg decode at a half, a quarter or an eighth, as `reduction` allows.

    Returns:
      What is the image among the pixels that it then decodes to, of which the last row and column
      are a fraction; None if it decodes as it is.
    """
    if image.format not in _JPEG_FORMATS:
        return None
    width, height = image.size
    size = (width, height) if _orientation(image) in SIDEWAYS else (height, width)
    if (by := reduction(size, config)) == 1:
        return None
    # No mode: the luma of a JPEG is another grey than Pillow's by up to 29 levels.
    drafted = image.draft(None, (max(1, width // by), max(1, height // by)))
    return drafted and drafted[1]


def _upright(
    pixels: np.ndarray, box: Box | None, size: tuple[int, int], orientation: int
) -> Decoded:
    """`pixels` and the box in them, of an image stored in `size`, (width, height), turned as the
    orientation, a number of EXIF, says."""
    number = known_orientation(orientation)
    height, width = pixels.shape[:2]
    box = upright_box(box or (0.0, 0.0, width, height), (height, width), number)
    return Decoded(upright(pixels, number), box, Stored(*size, number))
