"""Whether a PNG has as much compressed data as its rows need."""

import struct
import zlib

from transforms.images.png import CHANNELS, chunks

_HEADER = struct.Struct(">IIBBBBB")
_WHOLE = ((0, 0, 1, 1),)
# First column and row of each pass, and its steps across and down.
_ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)),
    (0, 1, 1, 2),
)
_PIECE = 1 << 20


def row_bytes_missing(data: bytes) -> int:
    """The number of bytes that a PNG's rows need beyond those that its data inflate to: 0 if they
    are complete, negative if there are more. At most one surplus byte is inflated.

    Raises:
      struct.error, KeyError: the header is not that of a PNG.
    """
    missing = 0
    inflater = zlib.decompressobj()
    for kind, start, end in chunks(data):
        if kind == b"IHDR":
            missing = _bytes_of_rows(data[start:end])
        if kind == b"IDAT":
            missing = _after(inflater, data[start:end], missing)
        if missing < 0 or inflater.eof:
            break
    return missing


def _after(inflater: "zlib._Decompress", compressed: bytes, missing: int) -> int:
    while compressed and missing >= 0 and not inflater.eof:
        try:
            missing -= len(inflater.decompress(compressed, min(_PIECE, missing + 1)))
        except zlib.error:
            break
        compressed = inflater.unconsumed_tail
    return missing


def _bytes_of_rows(header: bytes) -> int:
    """The number of bytes of all rows: each row of each pass is a filter byte and its pixels."""
    width, height, bits, kind, _, _, interlaced = _HEADER.unpack_from(header)
    bits_a_pixel = bits * CHANNELS[kind]
    total = 0
    for column, row, across, down in _ADAM7 if interlaced else _WHOLE:
        columns, rows = -(-(width - column) // across), -(-(height - row) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * bits_a_pixel // 8))
    return total
