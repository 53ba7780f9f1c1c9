"""The limits of a TIFF: the tags of its first directory."""

import struct

import PIL

from transforms.images.limits.size import check_pixels
from transforms.records.rejects import Reason, RecordError

_TAGS, _VALUES = 4096, 1 << 17  # values of one tag: strips, tiles, colours
_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_UNITS |= {16: 8}
_BLOBS = (1, 2, 7)  # types that stay bytes
_BIG_ENDIAN_BIG_TIFF = b"MM\0+"
_TILE_WIDTH, _TILE_LENGTH = 322, 323


def check_tiff(data: bytes, max_pixels: int) -> None:
    """The tags of the first directory: Pillow keeps a copy of each one's values, makes a Python
    object of each number among them, and an entry of each strip; libtiff has room for a tile."""
    if data.startswith(_BIG_ENDIAN_BIG_TIFF):  # its offsets are read as halves
        raise RecordError(
            Reason.CORRUPT,
            f"a BigTIFF in big-endian order, which Pillow {PIL.__version__} misreads",
        )
    order, big = ">" if data.startswith(b"MM") else "<", data[2] == 43
    offset_type, count_type, entry = ("Q", "Q", "HHQ8s") if big else ("I", "H", "HHI4s")
    (offset,) = struct.unpack_from(order + offset_type, data, 8 if big else 4)
    if offset > len(data):  # no more than it takes for Python to count to
        return
    (tags,) = struct.unpack_from(order + count_type, data, offset)
    if tags > _TAGS:
        raise RecordError(Reason.CORRUPT, f"TIFF: {tags} tags")
    start, entries = offset + struct.calcsize(order + count_type), struct.Struct(order + entry)
    held, sides = 0, {}
    # What is left of a directory that breaks off is an image to Pillow.
    whole = min(tags, (len(data) - start) // entries.size)
    for at in range(start, start + whole * entries.size, entries.size):
        tag, kind, count, value = entries.unpack_from(data, at)
        size = count * _UNITS.get(kind, 0)
        held += min(size, len(data)) if size > len(value) else 0
        if kind not in _BLOBS and size and count > _VALUES:
            raise RecordError(Reason.CORRUPT, f"TIFF: {count} values of tag {tag}")
        if held > len(data):
            raise RecordError(Reason.CORRUPT, "TIFF: tags of more bytes than the file has")
        if tag in (_TILE_WIDTH, _TILE_LENGTH) and kind in (3, 4, 16) and count == 1:
            unit = _UNITS[kind]
            sides[tag] = int.from_bytes(value[:unit], "big" if order == ">" else "little")
    check_pixels(sides.get(_TILE_WIDTH, 0), sides.get(_TILE_LENGTH, 0), max_pixels, "a tile of ")
