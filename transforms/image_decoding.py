"""One encoded image to pixels of a given shape: pure functions on Pillow and NumPy."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

from ae_models.config import ImageConfig
from transforms.rejects import Reason, RecordError

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTH_BYTE = 24  # of the IHDR chunk, which the format puts first
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
_DEPTH_16_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
_DEPTH_32_MODES = ("I", "F")
_ORIENTATION_TAG, _BITS_TAG = 0x0112, 0x0102
# Modes that hold grey levels or colours as they are; every other mode is expanded to one of them.
_PLAIN_MODES = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "1": "L"}
_MODE_OF_CHANNELS = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def decode_image(data: bytes, config: ImageConfig) -> np.ndarray:
    """PNG, JPEG, WebP, TIFF, BMP or GIF (its first frame) to pixels of the configured shape.

    The EXIF orientation is applied. Shapes, channels and bits that are None in `config` stay as
    the image has them.

    Returns:
      (H, W, C) uint8 or uint16.

    Raises:
      RecordError: empty, no image, damaged, too large, or of other channels or bits.
    """
    return fit_image(decode_as_is(data, config.max_pixels), config)


def decode_as_is(data: bytes, max_pixels: int) -> np.ndarray:
    """The image's own pixels, (H, W, C) uint8 or uint16, upright.

    Raises:
      RecordError: empty, no image, damaged or too large.
    """
    if not data:
        raise RecordError(Reason.EMPTY, "zero bytes")
    with _open(data) as image:
        _check_size(image, max_pixels)
        try:
            if _is_16_bit_png(data):
                return _upright(_decode_16_bit_png(data), image)
            _check_depth(image)
            return _pixels(ImageOps.exif_transpose(image))
        except RecordError:
            raise
        # Decoders raise anything from OSError to SyntaxError on damaged data.
        except Exception as error:
            raise RecordError(Reason.CORRUPT, f"{image.format}: {error}") from error


def fit_image(pixels: np.ndarray, config: ImageConfig) -> np.ndarray:
    """Pixels (H, W, C) with the configured channels, bits, height and width.

    Raises:
      RecordError: other channels or bits, and `config.convert` is not set.
    """
    pixels = _with_bits(pixels, config)
    pixels = _with_channels(pixels, config)
    height, width = pixels.shape[:2]
    target = (config.height or height, config.width or width)
    if (height, width) == target:
        return pixels
    if config.fit == "crop":
        return _crop(pixels, target)
    return _pad(pixels, target)


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RecordError(Reason.TOO_LARGE, str(error)) from error
    except UnidentifiedImageError as error:
        raise RecordError(Reason.NOT_AN_IMAGE, "no known image format") from error
    except Exception as error:
        raise RecordError(Reason.CORRUPT, str(error)) from error


def _check_size(image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise RecordError(
            Reason.TOO_LARGE,
            f"{image.width} x {image.height} pixels, more than image.max_pixels = {max_pixels}",
        )


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


def _is_16_bit_png(data: bytes) -> bool:
    return (
        data.startswith(_PNG_SIGNATURE) and data[_PNG_DEPTH_BYTE : _PNG_DEPTH_BYTE + 1] == b"\x10"
    )


def _decode_16_bit_png(data: bytes) -> np.ndarray:
    """Pillow drops the low byte of 16-bit colour; TensorFlow keeps it."""
    return tf.io.decode_png(data, dtype=tf.uint16).numpy()


def _upright(pixels: np.ndarray, image: Image.Image) -> np.ndarray:
    """`pixels` turned as the image's EXIF orientation says."""
    orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _with_bits(pixels: np.ndarray, config: ImageConfig) -> np.ndarray:
    bits = pixels.dtype.itemsize * 8
    if config.bits in (None, bits):
        return pixels
    if not config.convert:
        raise RecordError(Reason.WRONG_BITS, f"{bits} bits, not {config.bits}")
    if config.bits == 8:
        return (pixels // 257).astype(np.uint8)
    return pixels.astype(np.uint16) * 257


def _with_channels(pixels: np.ndarray, config: ImageConfig) -> np.ndarray:
    channels = pixels.shape[-1]
    if config.channels in (None, channels):
        return pixels
    mode, target = _MODE_OF_CHANNELS.get(channels), _MODE_OF_CHANNELS.get(config.channels)
    if not config.convert or not mode or not target:
        raise RecordError(Reason.WRONG_CHANNELS, f"{channels} channels, not {config.channels}")
    if pixels.dtype == np.uint8:
        squeezed = pixels[..., 0] if channels == 1 else pixels
        converted = np.asarray(Image.fromarray(squeezed, mode).convert(target))
        return converted[..., None] if converted.ndim == 2 else converted
    return _converted_16_bit(pixels, config.channels)


def _converted_16_bit(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Grey, colour and alpha into one another for 16 bits, which Pillow's modes do not hold."""
    has_alpha = pixels.shape[-1] in (2, 4)
    colour = pixels[..., :-1] if has_alpha else pixels
    alpha = pixels[..., -1:] if has_alpha else np.full_like(pixels[..., :1], 65535)
    if channels <= 2 and colour.shape[-1] == 3:
        luma = colour @ np.array([0.299, 0.587, 0.114])  # ITU-R 601-2, as Pillow
        colour = np.rint(luma).astype(np.uint16)[..., None]
    elif channels >= 3 and colour.shape[-1] == 1:
        colour = np.repeat(colour, 3, axis=-1)
    return np.concatenate([colour, alpha], axis=-1) if channels in (2, 4) else colour


def _pad(pixels: np.ndarray, target: tuple[int, int]) -> np.ndarray:
    """Scaled to fit inside `target`, in the middle of zeros."""
    height, width = pixels.shape[:2]
    scale = min(target[0] / height, target[1] / width)
    inner = (max(1, round(height * scale)), max(1, round(width * scale)))
    top, left = (target[0] - inner[0]) // 2, (target[1] - inner[1]) // 2
    result = np.zeros((*target, pixels.shape[-1]), pixels.dtype)
    result[top : top + inner[0], left : left + inner[1]] = _resize(
        pixels, inner, (0.0, 0.0, width, height)
    )
    return result


def _crop(pixels: np.ndarray, target: tuple[int, int]) -> np.ndarray:
    """Scaled to cover `target`, cut around the centre."""
    height, width = pixels.shape[:2]
    scale = max(target[0] / height, target[1] / width)
    # Rounding may give a box that is larger than the image by the last bit.
    inner_height, inner_width = min(height, target[0] / scale), min(width, target[1] / scale)
    left, top = (width - inner_width) / 2, (height - inner_height) / 2
    return _resize(pixels, target, (left, top, left + inner_width, top + inner_height))


def _resize(
    pixels: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float]
) -> np.ndarray:
    """The box (left, top, right, bottom) of (H, W, C) at `size`, (height, width), bicubic with
    antialiasing; channel by channel, so that alpha does not weigh colours and any C will do."""
    limits = np.iinfo(pixels.dtype)
    channels = []
    for index in range(pixels.shape[-1]):
        # Pillow's float images hold 16-bit levels; its 8-bit path rounds by itself.
        plane = np.ascontiguousarray(pixels[..., index])
        plane = plane if pixels.dtype == np.uint8 else plane.astype(np.float32)
        resized = Image.fromarray(plane).resize(
            (size[1], size[0]), Image.Resampling.BICUBIC, box=box
        )
        values = np.asarray(resized)
        if values.dtype != pixels.dtype:
            values = np.clip(np.rint(values), limits.min, limits.max).astype(pixels.dtype)
        channels.append(values)
    return np.stack(channels, axis=-1)
