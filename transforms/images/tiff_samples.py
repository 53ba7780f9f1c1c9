"""TIFF samples that Pillow has no mode for: 16-bit colour, signed, 32-bit and float samples.

Pillow and its libtiff decode them as 16-bit grey levels, several per sample or pixel: strips and
tiles stay unchanged, and a new directory describes them this way.
"""

import io
import struct
from typing import Any

import numpy as np
from PIL import TiffImagePlugin

from transforms.images.limits.size import check_pixels
from transforms.records.rejects import Reason, RecordError

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIPS, _SAMPLES, _ROWS, _STRIP_SIZES, _PLANAR, _PREDICTOR = 273, 277, 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES, _EXTRA, _FORMAT = 322, 323, 324, 325, 338, 339
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
# None, LZW, deflate under both its numbers, PackBits, LZMA, Zstandard: they compress bytes, not
# images.
_OF_BYTES = (1, 5, 8, 32946, 32773, 34925, 50000)
_NO_PREDICTOR, _DIFFERENCES = 1, 2
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_UNASSOCIATED_ALPHA = 2
_WHITE = 65535
_ADVICE = "save it as unsigned 8 or 16 bits"


def tiff_levels(data: bytes, image: Any, max_pixels: int) -> np.ndarray:
    """The image's levels, if each of them fits 16 bits exactly.

    Args:
      data: the content of the file.
      image: the image, opened by Pillow but not loaded.
      max_pixels: maximum number of pixels; a pixel of more than 32 bits counts as several.

    Returns:
      (H, W, C) uint16: 1 to 4 channels, grey or RGB, then alpha.

    Raises:
      RecordError: reason `wrong_bits` if they do not fit 16 bits or are unsupported.
      OSError, struct.error, KeyError: the data are damaged.
    """
    tags = image.tag_v2
    bits, kind = set(tags[_BITS]), set(tags.get(_FORMAT, (_UNSIGNED,)))
    said = f"TIFF of {'/'.join(map(str, tags[_BITS]))} bits"
    if len(bits) > 1 or len(kind) > 1 or not bits <= {16, 32} or not kind <= {1, 2, 3}:
        raise RecordError(Reason.WRONG_BITS, f"{said}: unsupported samples; {_ADVICE}")
    channels = _channels(tags, said)
    words = _words(data, image, bits.pop() // 16, said, max_pixels)
    samples = _undone(words, tags, said).view(_type(kind.pop(), words.dtype.itemsize))
    levels = _exact(samples[..., :channels], said)
    return _WHITE - levels if tags[_PHOTOMETRIC] == _WHITE_IS_ZERO else levels


def _channels(tags: Any, said: str) -> int:
    """The number of samples per pixel that are read. As for 8 bits, an extra sample that is not
    declared as alpha is dropped, except if the file declares nothing about it."""
    colours = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3}.get(tags.get(_PHOTOMETRIC))
    samples, extra = tags.get(_SAMPLES, 1), tags.get(_EXTRA, ())
    if colours is None or not colours <= samples <= colours + 1 or 1 in extra:
        raise RecordError(
            Reason.WRONG_BITS, f"{said}: neither grey nor RGB with plain alpha; {_ADVICE}"
        )
    return samples if not extra or extra[0] == _UNASSOCIATED_ALPHA else colours


def _words(data: bytes, image: Any, words: int, said: str, max_pixels: int) -> np.ndarray:
    """(H, W, samples) uint16 or uint32, before differences are summed; `words` per sample."""
    tags = image.tag_v2
    width, height = tags[_WIDTH], tags[_HEIGHT]  # Pillow has already swapped the sides in `size`
    samples, planar = tags.get(_SAMPLES, 1), tags.get(_PLANAR, 1) == 2
    if tags.get(_COMPRESSION, 1) not in _OF_BYTES or tags.get(_FILL_ORDER, 1) != 1:
        raise RecordError(Reason.WRONG_BITS, f"{said}: unsupported compression")
    check_pixels(width * max(1, samples * words // 2), height, max_pixels, "samples of 32 bits: ")
    planes, per_pixel = (samples, words) if planar else (1, samples * words)
    order = tags.prefix[:2]
    decoded = np.concatenate(
        [
            _grey(data, tags, (width * per_pixel, height), per_pixel, (plane, planes), order)
            .reshape(height, width, -1, words)
            for plane in range(planes)
        ],
        axis=2,
    )  # fmt: skip
    if words == 1:
        return decoded[..., 0]
    high, low = (0, 1) if order == b"MM" else (1, 0)
    return (decoded[..., high].astype(np.uint32) << 16) | decoded[..., low]


def _grey(
    data: bytes,
    tags: Any,
    size: tuple[int, int],
    per_pixel: int,
    plane: tuple[int, int],
    order: bytes,
) -> np.ndarray:
    """A plane as a 16-bit grey image, `per_pixel` times as wide: (H, W · per_pixel) uint16."""
    index, planes = plane
    tiled = _TILES in tags
    offsets, sizes = (_TILES, _TILE_SIZES) if tiled else (_STRIPS, _STRIP_SIZES)
    share = len(tags[offsets]) // planes
    part = slice(index * share, (index + 1) * share)
    directory: dict[int, tuple[int, ...]] = {
        _WIDTH: (size[0],),
        _HEIGHT: (size[1],),
        _BITS: (16,),
        _COMPRESSION: (tags.get(_COMPRESSION, 1),),
        _PHOTOMETRIC: (_BLACK_IS_ZERO,),
        _SAMPLES: (1,),
        offsets: tags[offsets][part],
        sizes: tags[sizes][part],
    }
    if tiled:
        directory |= {
            _TILE_WIDTH: (tags[_TILE_WIDTH] * per_pixel,),
            _TILE_HEIGHT: (tags[_TILE_HEIGHT],),
        }
    else:
        directory[_ROWS] = (min(size[1], tags.get(_ROWS, size[1])),)
    with TiffImagePlugin.TiffImageFile(io.BytesIO(_behind(data, directory, order))) as grey:
        return np.asarray(grey).astype(np.uint16)


def _behind(data: bytes, directory: dict[int, tuple[int, ...]], order: bytes) -> bytes:
    """`data` with a directory of 32-bit numbers appended, which replaces the original one."""
    sign = ">" if order == b"MM" else "<"
    start = len(data) + len(data) % 2
    values_at = start + 2 + 12 * len(directory) + 4
    entries, values = [], b""
    for tag, numbers in sorted(directory.items()):
        packed = struct.pack(f"{sign}{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            packed, values = struct.pack(f"{sign}I", values_at + len(values)), values + packed
        entries.append(struct.pack(f"{sign}HHI4s", tag, 4, len(numbers), packed))
    head = order + struct.pack(f"{sign}HI", 42, start)
    body = struct.pack(f"{sign}H", len(entries)) + b"".join(entries) + bytes(4) + values
    return b"".join((head, memoryview(data)[len(head) :], bytes(len(data) % 2), body))


def _undone(words: np.ndarray, tags: Any, said: str) -> np.ndarray:
    """The samples without a predictor: differences between neighbours in a row, or in a row of a
    tile, are summed."""
    predictor = tags.get(_PREDICTOR, _NO_PREDICTOR)
    if predictor == _NO_PREDICTOR or tags.get(_COMPRESSION, 1) in (1, 32773):
        return words
    if predictor != _DIFFERENCES:
        raise RecordError(Reason.WRONG_BITS, f"{said}: unsupported predictor {predictor}")
    width = words.shape[1]
    step = tags[_TILE_WIDTH] if _TILES in tags else width
    rows = [
        np.cumsum(words[:, start : start + step], axis=1, dtype=words.dtype)
        for start in range(0, width, step)
    ]
    return np.concatenate(rows, axis=1)


def _type(kind: int, size: int) -> str:
    return {_UNSIGNED: "u", _SIGNED: "i", _FLOAT: "f"}[kind] + str(size)


def _exact(samples: np.ndarray, said: str) -> np.ndarray:
    """The levels: whole numbers unchanged, floats of at most 1 as fractions of white.

    Raises:
      RecordError: a sample is not exactly a level.
    """
    least, greatest = samples.min(), samples.max()
    if not 0 <= least <= greatest <= _WHITE:  # also true if one is not a number
        raise RecordError(
            Reason.WRONG_BITS,
            f"{said}: levels from {least} to {greatest} are outside 0 to {_WHITE}; {_ADVICE}",
        )
    if samples.dtype.kind != "f":
        return samples.astype(np.uint16)
    shares = greatest <= 1
    if shares and greatest == 1 and ((samples == 0) | (samples == 1)).all():
        raise RecordError(
            Reason.WRONG_BITS,
            f"{said}: all samples are 0 or 1, so 1 may mean white or level 1; {_ADVICE}",
        )
    levels = np.rint(samples.astype(np.float64) * (_WHITE if shares else 1))
    again = (levels / _WHITE if shares else levels).astype(samples.dtype)
    if (wrong := again != samples).any():
        raise RecordError(
            Reason.WRONG_BITS,
            f"{said}: {samples[wrong][0]} is not an exact {'share' if shares else 'level'} of "
            f"{_WHITE}; {_ADVICE}",
        )
    return levels.astype(np.uint16)
