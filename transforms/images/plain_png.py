"""Decodes the most common PNGs without the overhead of a general reader, which dominates for small
images."""

import functools
import logging
import struct
import zlib
from typing import NamedTuple

import numpy as np
import PIL
from PIL import Image

from transforms.images.png import SIGNATURE, chunks, has_right_checksum

# The signature and the IHDR chunk: its size and kind; width, height, bits, colour type,
# compression, filter, interlace; its CRC.
_HEAD = struct.Struct(">16sIIBBBBBI")
_START = SIGNATURE + struct.pack(">I4s", 13, b"IHDR")
_HEADER = slice(12, 29)  # what the CRC of IHDR covers
_MODES = {0: ("L", 1), 2: ("RGB", 3), 4: ("LA", 2), 6: ("RGBA", 4)}  # by the colour type
# Kinds and sizes of chunks that can neither change the pixels nor make Pillow reject them.
_HARMLESS = {(b"gAMA", 4), (b"cHRM", 32), (b"sRGB", 1), (b"pHYs", 9), (b"tIME", 7)}
_HARMLESS |= {(b"bKGD", 2), (b"bKGD", 6), *((b"sBIT", size) for size in range(1, 5))}
# Pillow interprets some other keywords, for example as an orientation.
_HARMLESS_TEXTS = {
    *(b"Software", b"Comment", b"Title", b"Author", b"Description", b"Copyright", b"Source"),
    *(b"Creation Time", b"date:create", b"date:modify", b"date:timestamp"),
}
# The content of rows that were not drawn. It is rarely an image's last row; then Pillow decides.
_UNDRAWN = (0xA5, 0x5A, 0xC3, 0x3C)
# Larger images gain nothing here, and are subject to limits of Pillow.
_MOST_PIXELS = _MOST_BYTES = 1 << 24
# Versions of Pillow whose private decoder was tested: from the first to before the last.
_TRIED = ((11, 0), (13, 0))
_TRIAL = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
_LOGGER = logging.getLogger(__name__)


class PlainPng(NamedTuple):
    """A PNG with 8 bits per channel, grey or colour, with or without alpha, that is not interlaced
    and has no chunk that could change its pixels. Whether the pixels are complete is not known."""

    mode: str
    shape: tuple[int, int, int]
    compressed: bytes


class PlainPngs:
    """Plain PNGs of one shape, decoded below one another into one picture: Pillow's overhead per
    picture takes longer than decoding a small image.

    Args:
      count: number of images.
      shape: (H, W, C) of each, uint8.
    """

    def __init__(self, count: int, shape: tuple[int, int, int]):
        self._shape = shape
        height, width, channels = shape
        self._mode = next(mode for mode, found in _MODES.values() if found == channels)
        self._undrawn = _UNDRAWN[:channels]
        self._picture = Image.new(
            self._mode, (width, count * height), self._undrawn if channels > 1 else _UNDRAWN[0]
        )

    def draw(self, index: int, png: PlainPng) -> bool:
        """Decodes an image of the shape into its place, and returns whether it has no fault other
        than missing rows (`drawn_to_the_end`). If it has, its pixels may be anything."""
        height, width, _ = self._shape
        # As `Image.frombytes` does, which cannot decode into a part of a picture.
        decoder = Image._getdecoder(self._mode, "zip", (self._mode, 0))
        decoder.setimage(self._picture.im, (0, index * height, width, (index + 1) * height))
        consumed, fault = decoder.decode(png.compressed)
        return consumed < 0 and fault == 0

    def pixels(self) -> np.ndarray:
        """(count, H, W, C) uint8."""
        return np.frombuffer(self._picture.tobytes(), np.uint8).reshape(-1, *self._shape)

    def drawn_to_the_end(self, pixels: np.ndarray) -> np.ndarray:
        """(count,) bool, from `pixels()`: whether each image has its last row. Also False if the
        last row happens to be equal to an undrawn one."""
        return (pixels[:, -1] != self._undrawn).any(axis=(1, 2))


def decode_plain_png(data: bytes, max_pixels: int) -> np.ndarray | None:
    """The pixels of a plain PNG without a fault, (H, W, C) uint8; None for all other data.

    Data for which None is returned may still be an image: the general reader decides, and reports
    what is wrong. Pixels are those of Pillow's reader, as this uses its decoder.
    """
    png = plain_png(data, max_pixels)
    if png is None or not plain_pngs_work():
        return None
    return _drawn(png)


def _drawn(png: PlainPng) -> np.ndarray | None:
    picture = PlainPngs(1, png.shape)
    if not picture.draw(0, png):
        return None
    pixels = picture.pixels()
    return pixels[0] if picture.drawn_to_the_end(pixels)[0] else None


@functools.cache
def plain_pngs_work() -> bool:
    """Whether the private part of Pillow that decodes them is a tested version and decodes an image
    correctly. If not, the general reader decodes them, and one warning is logged."""
    fault = _drawing_fault()
    if fault is not None:
        _LOGGER.warning(
            "small PNGs are decoded one by one, which is slower: Pillow %s, %s",
            *(PIL.__version__, fault),
        )
    return fault is None


def _drawing_fault() -> str | None:
    version = tuple(map(int, PIL.__version__.split(".")[:2]))
    if not _TRIED[0] <= version < _TRIED[1]:
        first, last = (".".join(map(str, end)) for end in _TRIED)
        return f"tested with versions from {first} to before {last}"
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in _TRIAL))
    try:
        pixels = _drawn(PlainPng("RGB", _TRIAL.shape, rows))
    except Exception as error:  # a private part may change in any way
        return f"{type(error).__name__}: {error}"
    if pixels is None or not np.array_equal(pixels, _TRIAL):
        return "decodes wrong pixels"
    return None


def plain_png(data: bytes, max_pixels: int) -> PlainPng | None:
    """The plain PNG in `data`, not inflated; None if they are not a plain PNG."""
    if not data.startswith(_START) or len(data) > _MOST_BYTES:
        return None
    try:
        _, width, height, bits, kind, *methods, crc = _HEAD.unpack_from(data)
        if bits != 8 or kind not in _MODES or any(methods) or zlib.crc32(data[_HEADER]) != crc:
            return None
        # Before anything is inflated: a few bytes may encode millions of pixels.
        if not 0 < width * height <= min(max_pixels, _MOST_PIXELS):
            return None
        compressed = _image_data(data)
    except struct.error:  # the data end early
        return None
    mode, channels = _MODES[kind]
    return None if compressed is None else PlainPng(mode, (height, width, channels), compressed)


def _image_data(data: bytes) -> bytes | None:
    """The content of the IDAT chunks, or None if any other chunk is not harmless."""
    parts: list[bytes] = []
    found, view = chunks(data), memoryview(data)
    last, _, _ = next(found)  # the header
    for kind, start, end in found:
        if not has_right_checksum(view, start, end):
            return None
        if kind == b"IDAT" and (not parts or last == b"IDAT"):
            parts.append(data[start:end])
        elif kind == b"IEND":
            return b"".join(parts)
        elif (kind, end - start) not in _HARMLESS and not (
            kind == b"tEXt" and data[start:end].partition(b"\0")[0] in _HARMLESS_TEXTS
        ):
            return None
        last = kind
    return None  # the data end early
