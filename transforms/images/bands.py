"""An image in bands of rows, as stored in its file: if the format allows, only one band of a large
image is in memory at a time."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ae_models.config.configuration import ImageConfig
from ae_models.config.extras import is_installed, missing
from transforms.execution.memory import give_back
from transforms.images.decoding import blaming_the_record, decode_stored
from transforms.images.fitting import converted
from transforms.images.limits.cost import check_cost
from transforms.images.limits.size import check_density, check_pixels
from transforms.images.orientation import Stored, known_orientation, turned_back
from transforms.records.rejects import Reason, RecordError
from transforms.records.signatures import START_BYTES, kind_of

# Images of at most this many pixels are decoded in one piece, which is faster.
_WHOLE_PIXELS = 1 << 24
_MOST_PIXELS = 1 << 30
_BANDS_TO_TRIM = 4  # libvips allocates and frees blocks whose size depends on the row length
_PLAIN = ("srgb", "b-w")
_LOADERS = {"jpeg": "jpegload_source", "png": "pngload_source", "tiff": "tiffload_source"}


class Bands(NamedTuple):
    """How an image is stored, and its pixels from top to bottom: arrays (h, W, C) uint8 or uint16
    of at most the requested number of rows."""

    stored: Stored
    rows: Iterator[np.ndarray]


def image_bands(data: memoryview, config: ImageConfig, rows: int) -> Bands:
    """The image in bands of `rows` rows, with the configured channels and bits.

    A single-scan JPEG, a PNG that is not interlaced and a TIFF, each with 8 bits and grey or
    colour, may have 2^30 pixels; any other image may have `config.max_pixels`.

    Raises:
      RecordError: it cannot be decoded, either immediately or when its rows are read.
      StageError: the decoders fail for any image.
    """
    with blaming_the_record():
        image = _large(data)
        if image is not None:
            return Bands(_stored(image), _converted(_fetched(image, rows, data), config))
    return _whole(data, config, rows)


def large_layout(data: memoryview) -> tuple[tuple[int, int, int], np.dtype] | None:
    """The upright shape (H, W, C) and type of an image that `image_bands` reads in bands, after
    decoding its first rows; None for any other image.

    Raises:
      RecordError: it cannot be decoded.
      StageError: the decoders fail for any image.
    """
    with blaming_the_record():
        image = _large(data)
        if image is None:
            return None
        band = next(_fetched(image, 1, data))
        height, width = _stored(image).upright
        return (height, width, band.shape[-1]), band.dtype


def raw_bands(pixels: np.ndarray, config: ImageConfig, rows: int) -> Bands:
    """The same for pixels (H, W, C).

    Raises:
      RecordError: there are too many, or they have other channels or bits.
    """
    height, width, _ = pixels.shape
    check_pixels(width, height, config.max_pixels)
    return _cut(converted(pixels, config), Stored(width, height), rows)


def _cut(pixels: np.ndarray, stored: Stored, rows: int) -> Bands:
    return Bands(stored, (pixels[start : start + rows] for start in range(0, len(pixels), rows)))


def _whole(data: memoryview, config: ImageConfig, rows: int) -> Bands:
    try:
        pixels, stored = decode_stored(bytes(data), _as_it_is(config))
    except RecordError as error:
        if error.reason == Reason.TOO_LARGE and not _has_vips():
            advice = missing("larger JPEGs, PNGs and TIFFs", "pyvips")
            raise RecordError(error.reason, f"{error}; {advice}") from error
        raise
    return _cut(turned_back(pixels, stored.orientation), stored, rows)


@functools.cache
def _as_it_is(config: ImageConfig) -> ImageConfig:
    """The same configuration for images of any size, decoded at full size."""
    return ImageConfig(
        channels=config.channels,
        bits=config.bits,
        convert=config.convert,
        max_pixels=config.max_pixels,
    )


@functools.cache
def _has_vips() -> bool:
    return is_installed("pyvips")


def _large(data: memoryview) -> Any:
    """The image, opened to be read once from top to bottom, if it is large and this is possible;
    otherwise None."""
    kind = kind_of(bytes(data[:START_BYTES]))
    if kind not in _LOADERS or not _has_vips():
        return None
    import pyvips  # noqa: PLC0415 - it is not installed everywhere

    with contextlib.suppress(pyvips.Error):  # the other decoder reports what is wrong
        load = getattr(pyvips.Image, _LOADERS[kind])
        image = load(pyvips.Source.new_from_memory(data), access="sequential", fail_on="error")
        if image.width * image.height <= _WHOLE_PIXELS or not _is_plain(image):
            return None
        check_pixels(image.width, image.height, _MOST_PIXELS, what="in bands: ")
        check_density(image.width, image.height, len(data))
        check_cost(bytes(data), _MOST_PIXELS)
        return image
    return None


def _stored(image: Any) -> Stored:
    orientation = image.get("orientation") if image.get_typeof("orientation") else 1
    return Stored(image.width, image.height, known_orientation(orientation))


def _is_plain(image: Any) -> bool:
    """Whether rows can be read one after another, and are 8-bit grey or colour levels."""
    is_in_passes = image.get_typeof("interlaced") and image.get("interlaced")
    is_known = image.interpretation in _PLAIN and image.bands in (1, 3)
    return image.format == "uchar" and is_known and not is_in_passes


def _fetched(image: Any, rows: int, data: memoryview) -> Iterator[np.ndarray]:
    """The image in bands. Keeps a reference to the file's content, which may have no other, as long
    as bands are read."""
    import pyvips  # noqa: PLC0415

    region = pyvips.Region.new(image)
    for number, top in enumerate(range(0, image.height, rows)):
        if number % _BANDS_TO_TRIM == 0:
            give_back()
        height = min(rows, image.height - top)
        try:
            pixels = region.fetch(0, top, image.width, height)
        except pyvips.Error as error:
            raise RecordError(Reason.CORRUPT, f"in bands: {error}") from error
        yield np.frombuffer(pixels, np.uint8).reshape(height, image.width, image.bands)
    del data


def _converted(bands: Iterator[np.ndarray], config: ImageConfig) -> Iterator[np.ndarray]:
    for band in bands:
        yield converted(band, config)
