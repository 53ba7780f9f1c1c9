"""Whether an image file has more images than the one that is read: pages of a TIFF, frames of an
animation. Determined from its structure, without decoding pixels."""

import contextlib
import struct

from transforms.images.limits.gif import SIGNATURES as GIFS
from transforms.images.limits.gif import colour_table_bytes
from transforms.images.png import SIGNATURE, chunks

MOST_START_BYTES = 41  # the number of first bytes that `may_have_pages` uses
_TIFFS = (b"MM\0*", b"II*\0", b"II+\0")  # BigTIFF in the other byte order is rejected
_SUBFILE_TYPE, _REDUCED_OR_MASK = 254, 1 | 4  # TIFF 6.0, section 8: overviews, transparency masks
_DIRECTORIES = 64  # number of TIFF directories to examine; their chain may be a ring
_ANIMATED = 2  # WebP flag


def may_have_pages(start: bytes) -> bool:
    """Whether data with this beginning may have several images: all but JPEG, BMP and most PNGs."""
    if start.startswith(SIGNATURE):
        return start[37:41] != b"IDAT"  # IDAT right after the header: not an animation
    return start.startswith((*GIFS, *_TIFFS)) or _is_animated_webp(start)


def has_further_pages(data: bytes) -> bool:
    """Whether there is a further image after the first one, which is read.

    In a TIFF, overviews, masks and what the tag SubIFDs leads to do not count. In a JPEG, further
    images are not looked for: those in MPO files are previews, gain maps, or the other eye's view.
    In damaged data, the images before the damage count.
    """
    # The data end early, or contain an offset too large for Python.
    with contextlib.suppress(struct.error, IndexError, OverflowError):
        if data.startswith(SIGNATURE):
            return _frames_of_png(data) > 1
        if data.startswith(GIFS):
            return _has_second_frame(data)
        if data.startswith(_TIFFS):
            return _has_second_page(data)
        return _is_animated_webp(data) and _frames_of_webp(data) > 1
    return False


def _frames_of_png(data: bytes) -> int:
    for kind, start, _ in chunks(data):
        if kind == b"acTL":
            return int(struct.unpack_from(">I", data, start)[0])
        if kind == b"IDAT":
            break
    return 1


def _has_second_frame(data: bytes) -> bool:
    """Whether a GIF has a second image descriptor (GIF89a specification, section 20)."""
    place, images = 13 + colour_table_bytes(data[10]), 0
    while data[place] != 0x3B:
        if data[place] == 0x2C:
            images += 1
            if images > 1:
                return True
            place = _behind_blocks(data, place + 11 + colour_table_bytes(data[place + 9]))
        elif data[place] == 0x21:
            place = _behind_blocks(data, place + 2)
        else:
            place += 1  # a stray byte
    return False


def _behind_blocks(data: bytes, place: int) -> int:
    while size := data[place]:
        place += size + 1
    return place + 1


def _has_second_page(data: bytes) -> bool:
    order, big = ">" if data.startswith(b"MM") else "<", data[2] == 43
    offset, count, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    (place,) = struct.unpack_from(order + offset, data, 8 if big else 4)
    for number in range(_DIRECTORIES):
        if not place:
            return False
        if number and not _is_overview(data, place + struct.calcsize(order + count), order, big):
            return True
        (tags,) = struct.unpack_from(order + count, data, place)
        behind = place + struct.calcsize(order + count) + tags * entry
        (place,) = struct.unpack_from(order + offset, data, behind)
    return False


def _is_overview(data: bytes, entry: int, order: str, big: bool) -> bool:
    """Whether the first tag of a directory marks an overview or mask: tags are sorted, and this one
    is the lowest."""
    tag, kind = struct.unpack_from(order + "HH", data, entry)
    (value,) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, entry + 8 + 4 * big)
    return tag == _SUBFILE_TYPE and bool(value & _REDUCED_OR_MASK)


def _is_animated_webp(data: bytes) -> bool:
    return data.startswith(b"RIFF") and data[8:16] == b"WEBPVP8X" and bool(data[20] & _ANIMATED)


def _frames_of_webp(data: bytes) -> int:
    place, frames = 12, 0
    while place + 8 <= len(data) and frames < 2:
        frames += data.startswith(b"ANMF", place)
        size = struct.unpack_from("<I", data, place + 4)[0]
        place += 8 + size + size % 2
    return frames
