"""The structure of a PNG: a signature, then chunks of a size, a kind, content and a checksum."""

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the colour type
_CHUNK, _CRC = struct.Struct(">I4s"), struct.Struct(">I")
_DEPTH_BYTE = 24  # of the IHDR chunk, which the format puts first


def chunks(data: bytes) -> Iterator[tuple[bytes, slice]]:
    """Kind and place of each chunk's content, up to the chunk that ends the PNG or the end of the
    data, behind which a place may reach."""
    position, kind = len(SIGNATURE), b""
    while kind != b"IEND" and position + _CHUNK.size <= len(data):
        size, kind = _CHUNK.unpack_from(data, position)
        start = position + _CHUNK.size
        yield kind, slice(start, start + size)
        position = start + size + _CRC.size


def has_right_checksum(data: bytes, place: slice) -> bool:
    """Whether the kind and content of a chunk have the checksum that follows them.

    Raises:
      struct.error: the data end before it.
    """
    (expected,) = _CRC.unpack_from(data, place.stop)
    return zlib.crc32(memoryview(data)[place.start - 4 : place.stop]) == expected


def is_16_bit(data: bytes) -> bool:
    """Whether the data begin as a PNG of 16 bits a channel does."""
    return data.startswith(SIGNATURE) and data[_DEPTH_BYTE : _DEPTH_BYTE + 1] == b"\x10"
