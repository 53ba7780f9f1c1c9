"""The structure of a PNG: a signature, then chunks of a size, a kind, content and a checksum."""

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the colour type
_read_chunk, _read_checksum = struct.Struct(">I4s").unpack_from, struct.Struct(">I").unpack_from
_DEPTH_BYTE, _COLOUR_TYPE_BYTE = 24, 25  # of the IHDR chunk, which the format puts first


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each chunk's content, up to the chunk that ends the PNG or the end of
    the data, behind which a content may reach."""
    start, last = len(SIGNATURE) + 8, len(data)
    while start <= last:
        size, kind = _read_chunk(data, start - 8)
        end = start + size
        yield kind, start, end
        if kind == b"IEND":
            return
        start = end + 12  # behind the checksum, and the next chunk's size and kind


def has_right_checksum(data: memoryview, start: int, end: int) -> bool:
    """Whether the kind and content of a chunk have the checksum that follows them.

    Raises:
      struct.error: the data end before it.
    """
    return zlib.crc32(data[start - 4 : end]) == _read_checksum(data, end)[0]


def is_16_bit(data: bytes) -> bool:
    """Whether the data begin as a PNG of 16 bits a channel does."""
    return data.startswith(SIGNATURE) and data[_DEPTH_BYTE : _DEPTH_BYTE + 1] == b"\x10"


def colour_type(data: bytes) -> int:
    """The colour type of data that begin as a PNG does, of which `CHANNELS` are."""
    return data[_COLOUR_TYPE_BYTE]
