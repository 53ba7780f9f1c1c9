"""Bytes made wrong in the ways that files go wrong, or are made to."""

import struct
import zlib
from collections.abc import Callable

import numpy as np

Mutation = Callable[[bytes, np.random.Generator], bytes]
_NUMBERS = (0, 1, 2, 7, 8, 127, 128, 255, 256, 1000, 32767, 32768, 65535, 65536)
_NUMBERS += (1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
_SIZES = (1, 2, 4, 8)


def mutated(data: bytes, others: list[bytes], generator: np.random.Generator) -> bytes:
    """`data` changed once to three times; `others` lend parts of theirs."""
    for _ in range(int(generator.choice([1, 1, 1, 2, 3]))):
        choice = int(generator.integers(len(_MUTATIONS) + 1))
        if choice == len(_MUTATIONS):
            data = spliced(data, others[int(generator.integers(len(others)))], generator)
        else:
            data = _MUTATIONS[choice](data, generator)
    return data


def flipped(data: bytes, generator: np.random.Generator) -> bytes:
    """One bit to sixteen changed, most of them near the beginning, where headers are."""
    if not data:
        return data
    result = bytearray(data)
    reach = len(data) if generator.random() < 0.5 else min(len(data), 256)
    for place in generator.integers(0, reach, int(generator.integers(1, 17))):
        result[place] ^= 1 << int(generator.integers(8))
    return bytes(result)


def truncated(data: bytes, generator: np.random.Generator) -> bytes:
    """Broken off."""
    return data[: int(generator.integers(0, len(data) + 1))]


def with_number(data: bytes, generator: np.random.Generator) -> bytes:
    """A number of a header forged: an odd one, of one to eight bytes, in either order."""
    size = int(generator.choice(_SIZES))
    if len(data) < size:
        return data
    reach = len(data) if generator.random() < 0.3 else min(len(data), 512)
    place = int(generator.integers(0, max(1, reach - size)))
    number = int(generator.choice(_NUMBERS)) & ((1 << 8 * size) - 1)
    order = "little" if generator.random() < 0.5 else "big"
    return data[:place] + number.to_bytes(size, order) + data[place + size :]


def cut_out(data: bytes, generator: np.random.Generator) -> bytes:
    """Without a part."""
    start, end = sorted(generator.integers(0, len(data) + 1, 2).tolist())
    return data[:start] + data[end:]


def repeated(data: bytes, generator: np.random.Generator) -> bytes:
    """A part several times over."""
    start, end = sorted(generator.integers(0, len(data) + 1, 2).tolist())
    end = min(end, start + 4096)
    return data[:end] + data[start:end] * int(generator.integers(1, 50)) + data[end:]


def swapped(data: bytes, generator: np.random.Generator) -> bytes:
    """Two parts in each other's place."""
    a, b, c, d = sorted(generator.integers(0, len(data) + 1, 4).tolist())
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def filled(data: bytes, generator: np.random.Generator) -> bytes:
    """A part of one value, or of noise."""
    start, end = sorted(generator.integers(0, len(data) + 1, 2).tolist())
    end = min(end, start + 256)
    noise = generator.integers(0, 256, end - start, np.uint8).tobytes()
    fill = noise if generator.random() < 0.5 else bytes([int(generator.integers(256))])
    return data[:start] + (fill * (end - start))[: end - start] + data[end:]


def spliced(data: bytes, other: bytes, generator: np.random.Generator) -> bytes:
    """The beginning of one, the end of another."""
    here = int(generator.integers(0, len(data) + 1))
    there = int(generator.integers(0, len(other) + 1))
    return data[:here] + other[there:]


_MUTATIONS: tuple[Mutation, ...] = (
    *(flipped, flipped, truncated, with_number, with_number, cut_out, repeated, swapped, filled),
)


def with_png_checksums(data: bytes, generator: np.random.Generator) -> bytes:
    """A PNG whose chunks' checksums are right again, so that what they hold is looked at; some of
    its chunks in other places, or several times there."""
    chunks, place = [], 8
    while place + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, place)
        size = min(size, len(data) - place - 8)
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + size]))
        place += 12 + size
    if chunks and generator.random() < 0.3:
        chunks.insert(
            int(generator.integers(len(chunks))), chunks[int(generator.integers(len(chunks)))]
        )
    if len(chunks) > 2 and generator.random() < 0.3:
        first, second = generator.integers(0, len(chunks), 2)
        chunks[first], chunks[second] = chunks[second], chunks[first]
    return data[:8] + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
