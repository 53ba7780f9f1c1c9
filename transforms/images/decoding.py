"""Decodes one image to pixels of a given shape. Whatever its decoder raises makes a reject."""

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
    """The pixels that `decode_stored` returns."""
    return decode_stored(data, config)[0]


def decode_stored(data: bytes, config: ImageConfig) -> tuple[np.ndarray, Stored]:
    """Decodes PNG, JPEG, WebP, TIFF, BMP or GIF (first frame) to pixels of the configured shape.

    The EXIF orientation is applied. Shapes, channels and bits that are None in `config` stay those
    of the image. With `config.reduce`, a JPEG that will be shrunk is decoded at a fraction of its
    size if that has enough pixels.

    Returns:
      (H, W, C) uint8 or uint16, and how the file stores the image.

    Raises:
      RecordError: the data are empty, not an image, damaged or too large, have other channels or
        bits, or make their decoder fail.
      StageError: the decoders fail for any image.
    """
    with blaming_the_record():
        pixels = decode_plain_png(data, config.max_pixels)
        if pixels is not None:
            return fit_image(pixels, config), Stored(pixels.shape[1], pixels.shape[0])
        pixels, box, stored = decoded(data, config)
        return fit_image(pixels, config, box), stored


def decode_as_is(data: bytes, max_pixels: int) -> np.ndarray:
    """The image's original pixels, (H, W, C) uint8 or uint16, upright.

    Raises:
      RecordError: the data are empty, not an image, damaged or too large, or make their decoder
        fail.
      StageError: the decoders fail for any image.
    """
    return decode_image(data, _as_is(max_pixels))


@functools.cache
def _as_is(max_pixels: int) -> ImageConfig:
    """Cached, as constructing one takes longer than decoding a small image."""
    return ImageConfig(max_pixels=max_pixels)


def told_layout(data: bytes, max_pixels: int) -> Layout | None:
    """The shape (H, W, C) and type of what `decode_as_is` returns, from the image's header alone:
    the pixels may still be damaged. None if the header is not enough.

    Raises:
      RecordError: the data are empty, not an image or too large, or their header is damaged.
      StageError: the decoders fail for any image.
    """
    with blaming_the_record():
        return layout_by_header(data, max_pixels)


@contextlib.contextmanager
def blaming_the_record() -> Iterator[None]:
    """Turns an unexpected error of a decoder into a RecordError with the reason `decode_failed`,
    provided that the images of the self-test, which are decoded again, do not fail.

    Raises:
      StageError: the self-test fails too.
    """
    try:
        yield
    except (RecordError, LatentbeamError, MemoryError):  # a MemoryError is not the data's fault
        raise
    except Exception as error:
        check_decoders(anew=True)
        raise RecordError(Reason.DECODE_FAILED, told(error)) from error
