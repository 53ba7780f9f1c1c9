"""The commonest PNGs without a general reader's cost, which for small images is most of it."""

import functools
import logging
import struct
import zlib
from typing import NamedTuple

import numpy as np
import PIL
from PIL import Image

from transforms.images.png import SIGNATURE, chunks, has_right_checksum

# The signature and the IHDR chunk: its size and kind, then width, height, bits, colour type,
# compression, filter, interlace; its CRC.
_HEAD = struct.Struct(">16sIIBBBBBI")
_START = SIGNATURE + struct.pack(">I4s", 13, b"IHDR")
_HEADER = slice(12, 29)  # what the CRC of IHDR is of
_MODES = {0: ("L", 1), 2: ("RGB", 3), 4: ("LA", 2), 6: ("RGBA", 4)}  # by the colour type
# Kinds and sizes of what cannot change the pixels, nor make Pillow refuse them.
_HARMLESS = {(b"gAMA", 4), (b"cHRM", 32), (b"sRGB", 1), (b"pHYs", 9), (b"tIME", 7)}
_HARMLESS |= {(b"bKGD", 2), (b"bKGD", 6), *((b"sBIT", size) for size in range(1, 5))}
# Of other keywords some mean more than text to Pillow: an orientation, in the end.
_HARMLESS_TEXTS = {
    *(b"Software", b"Comment", b"Title", b"Author", b"Description", b"Copyright", b"Source"),
    *(b"Creation Time", b"date:create", b"date:modify", b"date:timestamp"),
}
# What rows hold that were not drawn: seldom the last row of an image, and then Pillow decides.
_UNDRAWN = (0xA5, 0x5A, 0xC3, 0x3C)
# Larger ones gain nothing here, and meet limits of Pillow's own.
_MOST_PIXELS = _MOST_BYTES = 1 << 24
# Versions of Pillow whose private decoder was tried, from the first to before the last.
_TRIED = ((11, 0), (13, 0))
_TRIAL = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
_LOGGER = logging.getLogger(__name__)


class PlainPng(NamedTuple):
    """One of 8 bits a channel, grey or colour, with alpha or without, that is not interlaced and
    has no chunk which could change its pixels; whether they are whole is not known yet."""

    mode: str
    shape: tuple[int, int, int]
    compressed: bytes


class PlainPngs:
    """Plain PNGs of one shape, decoded beneath one another into one picture: what Pillow does for
    every picture takes longer than to decode a small one.

    Args:
      count: of images.
      shape: (H, W, C), of uint8.
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
        """Decodes an image of the shape into its place; whether it was without a fault, but for
        rows that are missing (`drawn_to_the_end`). If not, the pixels there may be anything."""
        height, width, _ = self._shape
        # As `Image.frombytes` does it, which has no way to name a part of a picture.
        decoder = Image._getdecoder(self._mode, "zip", (self._mode, 0))
        decoder.setimage(self._picture.im, (0, index * height, width, (index + 1) * height))
        consumed, fault = decoder.decode(png.compressed)
        return consumed < 0 and fault == 0

    def pixels(self) -> np.ndarray:
        """(count, H, W, C) uint8."""
        return np.frombuffer(self._picture.tobytes(), np.uint8).reshape(-1, *self._shape)

    def drawn_to_the_end(self, pixels: np.ndarray) -> np.ndarray:
        """(count,) bool, of `pixels()`: whether each image has its last row. False also for one
        whose last row happens to be as none is at first."""
        return (pixels[:, -1] != self._undrawn).any(axis=(1, 2))


def decode_plain_png(data: bytes, max_pixels: int) -> np.ndarray | None:
    """The pixels of a plain PNG without a fault, (H, W, C) uint8; None for all other data.

    What None is given for may be an image still: the general reader decides, and says what is
    wrong. Pixels are those that Pillow's reader gives, whose decoder this is.
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
    """Whether the private part of Pillow that draws them is one that was tried, and draws an image
    as it should. If not, the general reader decodes them: said once, as a warning."""
    fault = _drawing_fault()
    if fault is not None:
        _LOGGER.warning(
            "small PNGs are decoded one by one, which takes longer: Pillow %s, %s",
            *(PIL.__version__, fault),
        )
    return fault is None


def _drawing_fault() -> str | None:
    version = tuple(map(int, PIL.__version__.split(".")[:2]))
    if not _TRIED[0] <= version < _TRIED[1]:
        first, last = (".".join(map(str, end)) for end in _TRIED)
        return f"tried from {first} to before {last}"
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in _TRIAL))
    try:
        pixels = _drawn(PlainPng("RGB", _TRIAL.shape, rows))
    except Exception as error:  # a private part may change in any way
        return f"{type(error).__name__}: {error}"
    if pixels is None or not np.array_equal(pixels, _TRIAL):
        return "draws other pixels"
    return None


def plain_png(data: bytes, max_pixels: int) -> PlainPng | None:
    """What `data` hold if they are a plain PNG, without inflating it."""
    if not data.startswith(_START) or len(data) > _MOST_BYTES:
        return None
    try:
        _, width, height, bits, kind, *methods, crc = _HEAD.unpack_from(data)
        if bits != 8 or kind not in _MODES or any(methods) or zlib.crc32(data[_HEADER]) != crc:
            return None
        # Before anything is inflated: a few bytes may hold millions of pixels.
        if not 0 < width * height <= min(max_pixels, _MOST_PIXELS):
            return None
        compressed = _image_data(data)
    except struct.error:  # the data end early
        return None
    mode, channels = _MODES[kind]
    return None if compressed is None else PlainPng(mode, (height, width, channels), compressed)


def _image_data(data: bytes) -> bytes | None:
    """What the IDAT chunks hold, or None if any other chunk is not harmless."""
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
