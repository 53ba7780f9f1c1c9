"""Finding a member's header in a tar archive whose members before it are damaged."""

import tarfile
from typing import BinaryIO

import numpy as np

BLOCK_BYTES = tarfile.BLOCKSIZE
_SEARCHED_BLOCKS = 2048  # at once
_CHECKSUM = slice(148, 156)
_SPACES = 8 * ord(" ")  # what the checksum's own bytes count as
_OCTAL = 8 ** np.arange(7)[::-1]


def find_header(file: BinaryIO, start: int) -> int | None:
    """The place of the first header at or behind `start`, a multiple of 512; None: there is none.

    A header is a block whose checksum fits and that tarfile takes for one. Headers within a member
    that is itself an archive look no different.
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
    """The numbers of the blocks in `data` whose bytes add up to the checksum that they hold: (n,)
    int64, in order. Bytes behind the last whole block do not count."""
    count = len(data) // BLOCK_BYTES
    blocks = np.frombuffer(data, np.uint8, count * BLOCK_BYTES).reshape(count, BLOCK_BYTES)
    field = blocks[:, _CHECKSUM]
    sums = blocks.sum(axis=1, dtype=np.int64) - field.sum(axis=1, dtype=np.int64) + _SPACES
    # Six digits or seven, with spaces or zeros before them.
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
