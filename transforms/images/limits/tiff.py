"""The limits of a TIFF: the tags of its first directory."""

import struct

import PIL

from transforms.images.limits.size import check_pixels
from transforms.records.rejects import Reason, RecordError

_TAGS, _VALUES = 4096, 1 << 17  # values per tag: strips, tiles, colours
_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_UNITS |= {16: 8}
_BLOBS = (1, 2, 7)  # types that Pillow leaves as bytes
_BIG_ENDIAN_BIG_TIFF = b"MM\0+"
_TILE_WIDTH, _TILE_LENGTH = 322, 323


def check_tiff(data: bytes, max_pixels: int) -> None:
    """Checks the tags of the first directory: Pillow stores a copy of each tag's values, a Python
    object per number among them, and an entry per strip; libtiff allocates a tile."""
    if data.startswith(_BIG_ENDIAN_BIG_TIFF):  # Pillow reads half of each offset
        raise RecordError(
            Reason.CORRUPT,
            f"a big-endian BigTIFF, which Pillow {PIL.__version__} misreads",
        )
    order, big = ">" if data.startswith(b"MM") else "<", data[2] == 43
    offset_type, count_type, entry = ("Q", "Q", "HHQ8s") if big else ("I", "H", "HHI4s")
    (offset,) = struct.unpack_from(order + offset_type, data, 8 if big else 4)
    if offset > len(data):  # also avoids numbers too large for Python's offsets
        return
    (tags,) = struct.unpack_from(order + count_type, data, offset)
    if tags > _TAGS:
        raise RecordError(Reason.CORRUPT, f"TIFF: {tags} tags: too many")
    start, entries = offset + struct.calcsize(order + count_type), struct.Struct(order + entry)
    held, sides = 0, {}
    # Pillow reads what is left of a truncated directory as an image.
    whole = min(tags, (len(data) - start) // entries.size)
    for at in range(start, start + whole * entries.size, entries.size):
        tag, kind, count, value = entries.unpack_from(data, at)
        size = count * _UNITS.get(kind, 0)
        held += min(size, len(data)) if size > len(value) else 0
        if kind not in _BLOBS and size and count > _VALUES:
            raise RecordError(Reason.CORRUPT, f"TIFF: {count} values of tag {tag}: too many")
        if held > len(data):
            raise RecordError(
                Reason.CORRUPT, "TIFF: the values of its tags exceed the size of the file"
            )
        if tag in (_TILE_WIDTH, _TILE_LENGTH) and kind in (3, 4, 16) and count == 1:
            unit = _UNITS[kind]
            sides[tag] = int.from_bytes(value[:unit], "big" if order == ">" else "little")
    check_pixels(sides.get(_TILE_WIDTH, 0), sides.get(_TILE_LENGTH, 0), max_pixels, "a tile of ")
