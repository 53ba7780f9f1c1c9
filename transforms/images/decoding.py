"""One encoded image to pixels of a given shape: pure functions on Pillow and NumPy."""

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from ae_models.config.configuration import ImageConfig
from transforms.images.fitting import Box, fit_image, reduction
from transforms.images.limits.cost import check_cost
from transforms.images.limits.exif import check_exif
from transforms.images.limits.size import check_density, check_pixels
from transforms.images.plain_png import decode_plain_png
from transforms.images.png import is_16_bit
from transforms.images.png_rows import row_bytes_missing
from transforms.records.rejects import Reason, RecordError

_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
_DEPTH_16_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
_DEPTH_32_MODES = ("I", "F")
_JPEG_FORMATS = ("JPEG", "MPO")  # several JPEGs in one file, of which the first counts
_ORIENTATION_TAG, _BITS_TAG = 0x0112, 0x0102
_EXIF_PROFILE = "Raw profile type exif"  # ImageMagick's way to keep EXIF in a PNG
_SURPLUS_BYTES = 4 << 20  # of smaller files, what inflates needlessly takes a second or two
_SIDEWAYS = (5, 6, 7, 8)  # orientations of rows as columns
# Modes that hold grey levels or colours as they are; every other mode is expanded to one of them.
_PLAIN_MODES = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "1": "L"}


def decode_image(data: bytes, config: ImageConfig) -> np.ndarray:
    """PNG, JPEG, WebP, TIFF, BMP or GIF (its first frame) to pixels of the configured shape.

    The EXIF orientation is applied. Shapes, channels and bits that are None in `config` stay as
    the image has them. With `config.reduce` a JPEG that is to be shrunk is decoded at a fraction
    of its size where that has pixels enough.

    Returns:
      (H, W, C) uint8 or uint16.

    Raises:
      RecordError: empty, no image, damaged, too large, or of other channels or bits.
    """
    pixels = decode_plain_png(data, config.max_pixels)
    if pixels is not None:
        return fit_image(pixels, config)
    pixels, box = _decode(data, config)
    return fit_image(pixels, config, box)


def decode_as_is(data: bytes, max_pixels: int) -> np.ndarray:
    """The image's own pixels, (H, W, C) uint8 or uint16, upright.

    Raises:
      RecordError: empty, no image, damaged or too large.
    """
    return decode_image(data, ImageConfig(max_pixels=max_pixels))


def _decode(data: bytes, config: ImageConfig) -> tuple[np.ndarray, Box]:
    if not data:
        raise RecordError(Reason.EMPTY, "zero bytes")
    check_cost(data, config.max_pixels)
    with _open(data) as image:
        check_pixels(image.width, image.height, config.max_pixels)
        check_density(image.width, image.height, len(data))
        try:
            if is_16_bit(data):
                _check_surplus(data)
                return _upright(_decode_16_bit_png(data), None, image)
            _check_depth(image)
            box = _reduce(image, config)
            image.load()  # a PNG's orientation may follow its pixels, a TIFF turns itself
            if image.format == "PNG":
                _check_rows(image, data)
            return _upright(_pixels(image), box, image)
        except (RecordError, MemoryError):  # the second is no fault of the data
            raise
        # Decoders raise anything from OSError to SyntaxError on damaged data.
        except Exception as error:
            raise RecordError(Reason.CORRUPT, f"{image.format}: {error}") from error


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RecordError(Reason.TOO_LARGE, str(error)) from error
    except UnidentifiedImageError as error:
        raise RecordError(Reason.NOT_AN_IMAGE, "no known image format") from error
    except MemoryError:
        raise
    except Exception as error:
        raise RecordError(Reason.CORRUPT, str(error)) from error


def _pixels(image: Image.Image) -> np.ndarray:
    if image.mode in _DEPTH_16_MODES:
        return np.asarray(image).astype(np.uint16)[..., None]
    mode = _PLAIN_MODES.get(image.mode)
    if mode is None:
        mode = "RGBA" if image.has_transparency_data else "RGB"
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _check_depth(image: Image.Image) -> None:
    """Pillow has no modes for 16-bit colour, and drops the low bytes of a TIFF's."""
    stored = max(getattr(image, "tag_v2", {}).get(_BITS_TAG, (8,)))
    if image.mode in _DEPTH_32_MODES or (stored > 8 and image.mode not in _DEPTH_16_MODES):
        raise RecordError(
            Reason.WRONG_BITS, f"{image.format} of {max(stored, 16)} bits, mode {image.mode}"
        )


def _decode_16_bit_png(data: bytes) -> np.ndarray:
    """Pillow drops the low byte of 16-bit colour; TensorFlow keeps it."""
    import tensorflow as tf  # noqa: PLC0415 - seconds, which few images need

    return tf.io.decode_png(data, dtype=tf.uint16).numpy()


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
    size = (width, height) if _orientation(image) in _SIDEWAYS else (height, width)
    if (by := reduction(size, config)) == 1:
        return None
    # No mode: the luma of a JPEG is another grey than Pillow's by up to 29 levels.
    drafted = image.draft(None, (max(1, width // by), max(1, height // by)))
    return drafted and drafted[1]


def _upright(pixels: np.ndarray, box: Box | None, image: Image.Image) -> tuple[np.ndarray, Box]:
    """`pixels` and the box in them turned as the image's EXIF orientation says."""
    orientation = _orientation(image)
    left, top, right, bottom = box or (0.0, 0.0, pixels.shape[1], pixels.shape[0])
    if orientation in _SIDEWAYS:
        pixels = pixels.transpose(1, 0, 2)
        left, top, right, bottom = top, left, bottom, right
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
        left, right = pixels.shape[1] - right, pixels.shape[1] - left
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
        top, bottom = pixels.shape[0] - bottom, pixels.shape[0] - top
    return np.ascontiguousarray(pixels), (left, top, right, bottom)
