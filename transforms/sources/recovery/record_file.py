"""The records of a TFRecord file, including those after a damaged one."""

import io
import struct
import zlib
from collections.abc import Generator, Iterator
from typing import BinaryIO, NamedTuple, cast

import google_crc32c
import numpy as np

from transforms.records.batches import BatchLimits
from transforms.records.rejects import Reason
from transforms.sources.source import bounded_batches
from transforms.sources.unpacked import open_unpacked

_HEAD, _CRC = struct.Struct("<QI"), struct.Struct("<I")
_LENGTH_BYTES = 8
_PLAIN_BLOCK = 1 << 20
# What gzip returns before damage ends with a block: a small block loses few good records.
_GZIP_BLOCK = io.DEFAULT_BUFFER_SIZE
_SEARCHED_BLOCK = 1 << 20
_MOST_RECORD_BYTES = BatchLimits().record_bytes  # of the records that a search looks for
# Lengths that match their checksum, but not their data, can be forged: the amount of such data that
# a search reads is limited to this multiple of the file's size.
_MOST_READ_IN_VAIN = 8
_MASK_DELTA = 0xA282EAD8


class Damage(NamedTuple):
    """Why some bytes of a file contain no readable record."""

    message: str
    reason: Reason = Reason.UNREADABLE


class _DamagedError(Exception):
    """No record can be read at `place`; `following` is where it should end, if that is known."""

    def __init__(
        self,
        place: int,
        message: str,
        following: int | None = None,
        reason: Reason = Reason.UNREADABLE,
    ):
        super().__init__(message)
        self.place, self.following, self.reason = place, following, reason


def record_batches(path: str, limits: BatchLimits) -> Generator[list[bytes] | Damage]:
    """The records of a file in bounded lists, in order, and what could not be read between them.

    A record with damaged data is one `Damage`. If a length is damaged, reading resumes at the next
    place where a length and the data after it match their checksums; everything in between is one
    `Damage`. A gzip file ends with its first `Damage`.
    """
    try:
        with open_unpacked(path) as (file, compressed):
            search = None if compressed else _Search(file)
            block, place = (_GZIP_BLOCK if compressed else _PLAIN_BLOCK), 0
            while True:
                try:
                    records = _records(file, block, place, limits, search.size if search else None)
                    yield from bounded_batches(records, len, limits)
                    return
                except _DamagedError as error:
                    damaged = error
                found = search.behind(damaged) if search else None
                told = f"byte {damaged.place}: {damaged}"
                if found is None:
                    yield Damage(f"{told}; no record was found after it", damaged.reason)
                    return
                yield Damage(f"{told}; reading resumed at byte {found}", damaged.reason)
                file.seek(found)
                place = found
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        yield Damage(f"{type(error).__name__}: {error}")


def _records(
    file: BinaryIO, block_bytes: int, place: int, limits: BatchLimits, size: int | None
) -> Iterator[bytes]:
    """The records of a TFRecord file: length, its CRC, data, its CRC (tensorflow/core/lib/io).

    Many records are cut from a block. A record is yielded before anything after its block is read,
    and so before damage there is found; a record larger than a block is read in one call.

    Args:
      place: position of the first record, at which the file already is.
      limits: only `record_bytes` is used.
      size: size of the file in bytes, if known.

    Raises:
      _DamagedError: there is no readable record at the current position.
    """
    block, at = b"", 0
    while more := cast(io.BufferedIOBase, file).read1(block_bytes):
        place += at
        block, at = block[at:] + more, 0
        while (start := at + _HEAD.size) <= len(block):
            length, length_crc = _HEAD.unpack_from(block, at)
            if _masked(google_crc32c.value(block[at : at + _LENGTH_BYTES])) != length_crc:
                raise _DamagedError(place + at, "the checksum of a record's length is wrong")
            end = start + length
            missing = end + _CRC.size - len(block)
            if missing > block_bytes or length > limits.record_bytes:
                _check_length(length, place + at, limits.record_bytes, size)
                block += file.read(missing)
            if end + _CRC.size > len(block):
                break
            data = block[start:end]
            if _masked(google_crc32c.value(data)) != _CRC.unpack_from(block, end)[0]:
                told = "the checksum of a record's data is wrong"
                raise _DamagedError(place + at, told, place + end + _CRC.size)
            yield data
            at = end + _CRC.size
    if at < len(block):
        raise _DamagedError(place + at, "the file is truncated")


def _check_length(length: int, place: int, most: int, size: int | None) -> None:
    """Raises _DamagedError for a length that must not be read: whoever forges a length can also
    forge its checksum."""
    following = place + _HEAD.size + length + _CRC.size
    is_there = size is None or following <= size
    if length > most:
        message = f"a record of {length} bytes; the limit is {most}"
        raise _DamagedError(place, message, following if is_there else None, Reason.TOO_LARGE)
    if not is_there:
        raise _DamagedError(place, f"the file is truncated in a record of {length} bytes")


class _Search:
    """Finds where records begin after damage, in a file that supports random access."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.size = file.seek(0, io.SEEK_END)
        file.seek(0)
        self._left = _MOST_READ_IN_VAIN * self.size

    def behind(self, damaged: _DamagedError) -> int | None:
        """The place of the next record, or the end of the file if the damaged one ends there."""
        following = damaged.following
        if following is not None and (following == self.size or self._heads_at(following)):
            return following
        start = damaged.place + 1
        while start + _HEAD.size + _CRC.size <= self.size:
            for place in self._heads(start, _SEARCHED_BLOCK):
                if self._left > 0 and self._is_record(place):
                    return place
            start += _SEARCHED_BLOCK
        return None

    def _heads_at(self, place: int) -> bool:
        return self._heads(place, 1) == [place]

    def _heads(self, start: int, count: int) -> list[int]:
        """The places, among `count` from `start`, that have a length and its checksum."""
        self._file.seek(start)
        found = record_heads(self._file.read(count + _HEAD.size - 1))
        return [start + int(place) for place in found]

    def _is_record(self, place: int) -> bool:
        """Whether the data are also there and match their checksum."""
        self._file.seek(place)
        (left, _) = _HEAD.unpack(self._file.read(_HEAD.size))
        if place + _HEAD.size + left + _CRC.size > self.size:
            return False
        crc = 0
        while left and (data := self._file.read(min(left, _SEARCHED_BLOCK))):
            crc = google_crc32c.extend(crc, data)
            left -= len(data)
            self._left -= len(data)
        return self._file.read(_CRC.size) == _CRC.pack(_masked(crc))


def record_heads(block: bytes) -> np.ndarray:
    """The places in `block` at which the length of a record that is not too large is followed by
    its checksum: (n,) int64, in order. Only heads that are entirely in `block` are found."""
    count = max(0, len(block) - _HEAD.size + 1)
    data = np.frombuffer(block, np.uint8)
    upper = data[4 : 4 + count] | data[5 : 5 + count] | data[6 : 6 + count] | data[7 : 7 + count]
    places = np.flatnonzero(upper == 0)
    lower = [data[places + byte] for byte in range(4)]
    lengths = sum(values.astype(np.uint32) << 8 * byte for byte, values in enumerate(lower))
    crcs = np.full(len(places), google_crc32c.value(bytes(_LENGTH_BYTES)), np.uint32)
    for table, values in zip(_CRC_CHANGES, lower, strict=True):
        crcs ^= table[values]
    masked = ((crcs >> 15) | (crcs << 17)) + np.uint32(_MASK_DELTA)
    stored = np.ndarray((count,), "<u4", block, _LENGTH_BYTES, (1,))[places] if count else 0
    return places[(lengths <= _MOST_RECORD_BYTES) & (masked == stored)]


def _crc_changes() -> np.ndarray:
    """(4, 256) uint32: how each value of each of a length's lower bytes changes the checksum of the
    length 0. A checksum is linear in the bytes, apart from a constant."""
    zero = google_crc32c.value(bytes(_LENGTH_BYTES))
    return np.array(
        [
            [google_crc32c.value(_HEAD.pack(value << 8 * byte, 0)[:_LENGTH_BYTES]) ^ zero
             for value in range(256)]
            for byte in range(4)
        ],
        np.uint32,
    )  # fmt: skip


_CRC_CHANGES = _crc_changes()


def _masked(crc: int) -> int:
    """A CRC-32C as stored in TFRecord files."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF
