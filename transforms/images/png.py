"""The structure of a PNG: a signature, then chunks, each with size, kind, content and checksum."""

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_read_chunk, _read_checksum = struct.Struct(">I4s").unpack_from, struct.Struct(">I").unpack_from
_DEPTH_BYTE, _COLOUR_TYPE_BYTE = 24, 25  # in the IHDR chunk, which is always first


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each chunk's content, up to the chunk that ends the PNG or the end of
    the data, which a content may extend beyond."""
    start, last = len(SIGNATURE) + 8, len(data)
    while start <= last:
        size, kind = _read_chunk(data, start - 8)
        end = start + size
        yield kind, start, end
        if kind == b"IEND":
            return
        start = end + 12  # after the checksum, and the next chunk's size and kind


def has_right_checksum(data: memoryview, start: int, end: int) -> bool:
    """Whether the kind and content of a chunk match the checksum that follows them.

    Raises:
      struct.error: the data end before it.
    """
    return zlib.crc32(data[start - 4 : end]) == _read_checksum(data, end)[0]


def is_16_bit(data: bytes) -> bool:
    """Whether the data begin like a PNG with 16 bits per channel."""
    return data.startswith(SIGNATURE) and data[_DEPTH_BYTE : _DEPTH_BYTE + 1] == b"\x10"


def colour_type(data: bytes) -> int:
    """The colour type, a key of `CHANNELS`, of data that begin like a PNG."""
    return data[_COLOUR_TYPE_BYTE]
