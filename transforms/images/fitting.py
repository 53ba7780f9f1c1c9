"""Converts pixels of any size, channels and bits to a configuration's, with Pillow and NumPy."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from ae_models.config.configuration import ImageConfig
from transforms.records.rejects import Reason, RecordError

# Left, top, right and bottom of a part of an image, in pixels, possibly fractional.
Box = tuple[float, float, float, float]
_MODE_OF_CHANNELS = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
# Modes whose channels Pillow resizes together, without weighting by another as by RGBA's alpha.
_MODE_OF_BANDS = {1: "L", 3: "RGB", 4: "RGBX"}
_LEAST_OVERSAMPLING = 2  # docs/reference/decoding.md has the errors of 1 to 4


def fit_image(pixels: np.ndarray, config: ImageConfig, box: Box | None = None) -> np.ndarray:
    """Pixels (H, W, C) with the configured channels, bits, height and width.

    Args:
      box: the image's part of the pixels, as left by `reduction`; None: all of them.

    Raises:
      RecordError: the pixels have other channels or bits, and `config.convert` is not set.
    """
    pixels = converted(pixels, config)
    height, width = pixels.shape[:2]
    target = (config.height or height, config.width or width)
    if (height, width) == target:
        return pixels
    box = box or (0.0, 0.0, width, height)
    resized = _drawn(pixels, _FITTED[config.fit or "pad"](box, target), target)
    if config.bits in (None, 8, 16):
        return resized
    # Bicubic resizing overshoots at edges between dark and bright.
    return np.minimum(resized, config.greatest_level, dtype=pixels.dtype)


def converted(pixels: np.ndarray, config: ImageConfig) -> np.ndarray:
    """Pixels (H, W, C) with the configured channels and bits.

    Raises:
      RecordError: they have others, and `config.convert` is not set.
    """
    return _with_channels(_with_bits(pixels, config), config)


class Fitted(NamedTuple):
    """Where an image is in the frame that it was fitted to: the box `shown` of the upright image is
    in the box `place` of the frame."""

    shown: Box
    place: tuple[int, int, int, int]


def fitted(size: tuple[float, float], config: ImageConfig) -> Fitted:
    """Where an upright image of `size`, (height, width), is in the configured frame."""
    frame = config.shape[:2]
    return _FITTED[config.fit or "pad"]((0.0, 0.0, size[1], size[0]), frame)


def check_levels(pixels: np.ndarray, config: ImageConfig) -> None:
    """Raises RecordError, reason `wrong_bits`, for a level that does not fit `config.bits`."""
    greatest = int(pixels.max(initial=0))
    if greatest > config.greatest_level:
        raise RecordError(
            Reason.WRONG_BITS,
            f"level {greatest} does not fit image.bits={config.bits}, whose maximum is "
            f"{config.greatest_level}",
        )


def reduction(size: tuple[int, int], config: ImageConfig) -> int:
    """The greatest of 8, 4, 2 and 1 by which decoding may reduce an image of `size`, (height,
    width), so that each side still has twice the pixels that fitting it needs."""
    if not config.reduce or config.height is None or config.width is None:
        return 1
    shrinks = 1 / _scale(size, (config.height, config.width), config.fit or "pad")
    return next((by for by in (8, 4, 2) if by * _LEAST_OVERSAMPLING <= shrinks), 1)


def _scale(size: tuple[float, float], target: tuple[int, int], fit: str) -> float:
    """The scale that fits `size`, (height, width), inside `target`, or covers it for `crop`; for
    `stretch`, the scale of the side that shrinks less."""
    return (min if fit == "pad" else max)(target[0] / size[0], target[1] / size[1])


def _with_bits(pixels: np.ndarray, config: ImageConfig) -> np.ndarray:
    bits = pixels.dtype.itemsize * 8
    if config.bits in (None, bits):
        return pixels
    if pixels.dtype == config.dtype:
        check_levels(pixels, config)
        return pixels
    if not config.convert:
        raise RecordError(Reason.WRONG_BITS, f"{bits} bits, not {config.bits}")
    if config.bits == 8:
        return (pixels // 257).astype(np.uint8)
    return ((pixels.astype(np.uint32) * config.greatest_level + 127) // 255).astype(np.uint16)


def _with_channels(pixels: np.ndarray, config: ImageConfig) -> np.ndarray:
    channels = pixels.shape[-1]
    if config.channels in (None, channels):
        return pixels
    mode, target = _MODE_OF_CHANNELS.get(channels), _MODE_OF_CHANNELS.get(config.channels)
    if not config.convert or not mode or not target:
        # `transforms.training.rejected` parses this message.
        raise RecordError(Reason.WRONG_CHANNELS, f"{channels} channels, not {config.channels}")
    if pixels.dtype == np.uint8:
        squeezed = pixels[..., 0] if channels == 1 else pixels
        converted = np.asarray(Image.fromarray(squeezed, mode).convert(target))
        return converted[..., None] if converted.ndim == 2 else converted
    opaque = 65535 if config.bits is None else config.greatest_level
    return _converted_16_bit(pixels, config.channels, opaque)


def _converted_16_bit(pixels: np.ndarray, channels: int, opaque: int) -> np.ndarray:
    """Converts between grey and colour, with or without alpha, for 16 bits, which Pillow's modes do
    not support."""
    has_alpha = pixels.shape[-1] in (2, 4)
    colour = pixels[..., :-1] if has_alpha else pixels
    alpha = pixels[..., -1:] if has_alpha else np.full_like(pixels[..., :1], opaque)
    if channels <= 2 and colour.shape[-1] == 3:
        luma = colour @ np.array([0.299, 0.587, 0.114])  # ITU-R 601-2, as Pillow
        colour = np.rint(luma).astype(np.uint16)[..., None]
    elif channels >= 3 and colour.shape[-1] == 1:
        colour = np.repeat(colour, 3, axis=-1)
    return np.concatenate([colour, alpha], axis=-1) if channels in (2, 4) else colour


def _padded(box: Box, target: tuple[int, int]) -> Fitted:
    """The box scaled to fit inside `target`, centred."""
    height, width = box[3] - box[1], box[2] - box[0]
    scale = _scale((height, width), target, "pad")
    inner = (max(1, round(height * scale)), max(1, round(width * scale)))
    top, left = (target[0] - inner[0]) // 2, (target[1] - inner[1]) // 2
    return Fitted(box, (left, top, left + inner[1], top + inner[0]))


def _cropped(box: Box, target: tuple[int, int]) -> Fitted:
    """The box scaled to cover `target`, cut around the centre."""
    height, width = box[3] - box[1], box[2] - box[0]
    scale = _scale((height, width), target, "crop")
    # Rounding may make the part larger than the box by the last bit.
    inner_height, inner_width = min(height, target[0] / scale), min(width, target[1] / scale)
    left, top = box[0] + (width - inner_width) / 2, box[1] + (height - inner_height) / 2
    shown = (left, top, left + inner_width, top + inner_height)
    return Fitted(shown, (0, 0, target[1], target[0]))


def _stretched(box: Box, target: tuple[int, int]) -> Fitted:
    """The box resized to `target`, whatever its aspect ratio."""
    return Fitted(box, (0, 0, target[1], target[0]))


_FITTED = {"pad": _padded, "crop": _cropped, "stretch": _stretched}


def _drawn(pixels: np.ndarray, fitted: Fitted, target: tuple[int, int]) -> np.ndarray:
    """The shown part of the pixels, in its place; zeros around it."""
    left, top, right, bottom = fitted.place
    resized = _resize(pixels, (bottom - top, right - left), fitted.shown)
    if resized.shape[:2] == target:
        return resized
    result = np.zeros((*target, pixels.shape[-1]), pixels.dtype)
    result[top:bottom, left:right] = resized
    return result


def _resize(pixels: np.ndarray, size: tuple[int, int], box: Box) -> np.ndarray:
    """The box of (H, W, C) resized to `size`, (height, width), bicubic with antialiasing. Channels
    are resized independently, so that alpha does not weight colours and C may be any number."""
    channels = pixels.shape[-1]
    if pixels.dtype == np.uint8 and channels in _MODE_OF_BANDS:
        mode, source = _MODE_OF_BANDS[channels], (pixels.shape[1], pixels.shape[0])
        image = Image.frombuffer(mode, source, np.ascontiguousarray(pixels), "raw", mode, 0, 1)
        return np.asarray(_resized(image, size, box)).reshape(*size, channels)
    planes = [_resize_plane(pixels[..., index], size, box) for index in range(channels)]
    return np.stack(planes, axis=-1)


def _resize_plane(plane: np.ndarray, size: tuple[int, int], box: Box) -> np.ndarray:
    limits = np.iinfo(plane.dtype)
    # Pillow's float images can represent 16-bit levels; its 8-bit path rounds on its own.
    levels = np.ascontiguousarray(plane, None if plane.dtype == np.uint8 else np.float32)
    values = np.asarray(_resized(Image.fromarray(levels), size, box))
    if values.dtype == plane.dtype:
        return values
    return np.clip(np.rint(values), limits.min, limits.max).astype(plane.dtype)


def _resized(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    return image.resize((size[1], size[0]), Image.Resampling.BICUBIC, box=box)
