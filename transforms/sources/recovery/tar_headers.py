"""Finding a member's header in a tar archive after damaged members."""

import tarfile
from typing import BinaryIO

import numpy as np

BLOCK_BYTES = tarfile.BLOCKSIZE
_SEARCHED_BLOCKS = 2048  # at a time
_CHECKSUM = slice(148, 156)
_SPACES = 8 * ord(" ")  # the bytes of the checksum itself count as spaces
_OCTAL = 8 ** np.arange(7)[::-1]


def find_header(file: BinaryIO, start: int) -> int | None:
    """The place of the first header at or after `start`, a multiple of 512; None if there is none.

    A header is a block whose checksum matches and that tarfile accepts as one. Headers within a
    member that is itself an archive cannot be distinguished.
    """
    while True:
        file.seek(start)
        data = file.read(_SEARCHED_BLOCKS * BLOCK_BYTES)
        for number in headers(data):
            block = data[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES]
            if _is_header(block):
                return start + int(number) * BLOCK_BYTES
        if len(data) < _SEARCHED_BLOCKS * BLOCK_BYTES:
            return None
        start += len(data)


def headers(data: bytes) -> np.ndarray:
    """The numbers of the blocks in `data` whose bytes add up to the checksum that they contain:
    (n,) int64, in order. Bytes after the last complete block are ignored."""
    count = len(data) // BLOCK_BYTES
    blocks = np.frombuffer(data, np.uint8, count * BLOCK_BYTES).reshape(count, BLOCK_BYTES)
    field = blocks[:, _CHECKSUM]
    sums = blocks.sum(axis=1, dtype=np.int64) - field.sum(axis=1, dtype=np.int64) + _SPACES
    # Six or seven digits, preceded by spaces or zeros.
    digits = np.where(field == ord(" "), ord("0"), field).astype(np.int64)[:, :7] - ord("0")
    valid = (digits >= 0) & (digits < 8)
    six = valid[:, :6].all(axis=1) & (digits[:, :6] @ _OCTAL[1:] == sums)
    seven = valid.all(axis=1) & (digits @ _OCTAL == sums)
    return np.flatnonzero(six | seven)


def _is_header(block: bytes) -> bool:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape").size >= 0
    except (tarfile.TarError, ValueError, OverflowError):
        return False
