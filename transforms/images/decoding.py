"""One encoded image to pixels of a given shape. Whatever its decoder raises is a reject."""

import contextlib
import functools
from collections.abc import Iterator

import numpy as np

from ae_models.config.configuration import ImageConfig
from ae_models.errors import LatentbeamError
from transforms.images.decoders import decoded, layout_by_header
from transforms.images.fitting import fit_image
from transforms.images.orientation import Stored
from transforms.images.plain_png import decode_plain_png
from transforms.images.self_test import check_decoders
from transforms.records.pixels import Layout
from transforms.records.rejects import Reason, RecordError, told


def decode_image(data: bytes, config: ImageConfig) -> np.ndarray:
    """The pixels that `decode_stored` gives."""
    return decode_stored(data, config)[0]


def decode_stored(data: bytes, config: ImageConfig) -> tuple[np.ndarray, Stored]:
    """PNG, JPEG, WebP, TIFF, BMP or GIF (its first frame) to pixels of the configured shape.

    The EXIF orientation is applied. Shapes, channels and bits that are None in `config` stay as
    the image has them. With `config.reduce` a JPEG that is to be shrunk is decoded at a fraction
    of its size where that has pixels enough.

    Returns:
      (H, W, C) uint8 or uint16, and how the file holds the image.

    Raises:
      RecordError: empty, no image, damaged, too large, of other channels or bits, or such that
        its decoder alone fails.
      StageError: the decoders fail for any image.
    """
    with blaming_the_record():
        pixels = decode_plain_png(data, config.max_pixels)
        if pixels is not None:
            return fit_image(pixels, config), Stored(pixels.shape[1], pixels.shape[0])
        pixels, box, stored = decoded(data, config)
        return fit_image(pixels, config, box), stored


def decode_as_is(data: bytes, max_pixels: int) -> np.ndarray:
    """The image's own pixels, (H, W, C) uint8 or uint16, upright.

    Raises:
      RecordError: empty, no image, damaged or too large, or such that its decoder alone fails.
      StageError: the decoders fail for any image.
    """
    return decode_image(data, _as_is(max_pixels))


@functools.cache
def _as_is(max_pixels: int) -> ImageConfig:
    """To make and check one takes longer than to decode a small image."""
    return ImageConfig(max_pixels=max_pixels)


def told_layout(data: bytes, max_pixels: int) -> Layout | None:
    """The shape (H, W, C) and type that `decode_as_is` gives, from the image's header alone: its
    pixels may be damaged all the same. None where only they can tell.

    Raises:
      RecordError: empty, no image, of a damaged header or too large.
      StageError: the decoders fail for any image.
    """
    with blaming_the_record():
        return layout_by_header(data, max_pixels)


@contextlib.contextmanager
def blaming_the_record() -> Iterator[None]:
    """Makes a RecordError, reason `decode_failed`, of what nobody expects a decoder to raise: if it
    does not raise it for the images of the self-test, which are decoded again.

    Raises:
      StageError: it does.
    """
    try:
        yield
    except (RecordError, LatentbeamError, MemoryError):  # the last is no fault of the data
        raise
    except Exception as error:
        check_decoders(anew=True)
        raise RecordError(Reason.DECODE_FAILED, told(error)) from error
