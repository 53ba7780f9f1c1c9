"""The reader of plain PNGs: always the pixels, or the errors, of Pillow's reader."""

import io
import itertools
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from ae_models.config.configuration import ImageConfig
from transforms.images.decode_batch import decode_batch
from transforms.images.decoders import decoded
from transforms.images.decoding import decode_image
from transforms.images.fitting import fit_image
from transforms.images.plain_png import decode_plain_png
from transforms.records.batches import image_records
from transforms.records.rejects import Reason, RecordError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {0: 1, 2: 3, 4: 2, 6: 4}  # to the number of channels
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
ADAM7 += [(0, 1, 1, 2)]  # first column and row of each pass, and its steps
SIDEWAYS = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6
PROFILE = b"Raw profile type exif\0\nexif\n 26\n" + SIDEWAYS.hex().encode()
XMP = b'XML:com.adobe.xmp\0<x tiff:Orientation="6"/>'
HARMLESS = [
    (b"gAMA", struct.pack(">I", 45455)),
    (b"cHRM", bytes(32)),
    (b"sRGB", b"\0"),
    (b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
    (b"tIME", bytes(7)),
    (b"tEXt", b"Software\0GIMP"),
    (b"bKGD", bytes(6)),
    (b"sBIT", b"\x08"),
]
HARMFUL = [
    (b"tRNS", bytes(6)),
    (b"eXIf", SIDEWAYS),
    (b"tEXt", PROFILE),
    (b"tEXt", XMP),
    (b"tEXt", b"interlace\0yes"),
    (b"zTXt", PROFILE.replace(b"\0", b"\0\0", 1)),
    (b"iCCP", b"p\0\0" + zlib.compress(bytes(100))),
    (b"acTL", struct.pack(">II", 1, 0)),
    (b"gAMA", b"\0"),
    (b"pHYs", b"\0"),
    (b"unKn", b"?"),
    (b"IDAT", b"?"),
]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _header(width: int, height: int, colour_type: int, interlaced: bool = False) -> bytes:
    fields = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, interlaced)
    return SIGNATURE + _chunk(b"IHDR", fields)


def _rows(width: int, height: int, channels: int, generator: np.random.Generator) -> bytes:
    """Any bytes are an image if those at the beginning of rows are filters."""
    rows = generator.integers(0, 256, (height, 1 + width * channels), np.uint8)
    rows[:, 0] %= 5
    return rows.tobytes() if width else b""


def _passes(width: int, height: int, channels: int, generator: np.random.Generator) -> bytes:
    sizes = [
        (len(range(column, width, across)), len(range(row, height, down)))
        for column, row, across, down in ADAM7
    ]
    return b"".join(_rows(*size, channels, generator) for size in sizes)


def _plain(seed: int = 0, colour_type: int = 2, width: int = 7, height: int = 5) -> bytes:
    rows = _rows(width, height, COLOUR_TYPES[colour_type], np.random.default_rng(seed))
    chunks = _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return _header(width, height, colour_type) + chunks


def _pillow(data: bytes) -> np.ndarray:
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _outcome(decode: Callable[[], np.ndarray]) -> tuple[object, object]:
    """Shape and pixels, or reason and message."""
    try:
        pixels = decode()
    except RecordError as error:
        return error.reason, str(error)
    return pixels.shape, pixels.tobytes()


def _generally(data: bytes, config: ImageConfig) -> np.ndarray:
    return decoded(data, config)[0]  # as for all other images


@settings(deadline=None, max_examples=200)
@given(
    colour_type=st.sampled_from(sorted(COLOUR_TYPES)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    level=st.integers(0, 9),
    cuts=st.lists(st.floats(0, 1), max_size=4),
    interlaced=st.sampled_from([False, False, False, True]),
    before=st.lists(st.sampled_from(HARMLESS), max_size=3),
    after=st.lists(st.sampled_from(HARMLESS), max_size=2),
    seed=st.integers(0, 2**32 - 1),
)
def test_pixels_are_those_of_pillow(
    colour_type: int,
    size: tuple[int, int],
    level: int,
    cuts: list[float],
    interlaced: bool,
    before: list[tuple[bytes, bytes]],
    after: list[tuple[bytes, bytes]],
    seed: int,
) -> None:
    rows = _passes if interlaced else _rows
    raw = rows(*size, COLOUR_TYPES[colour_type], np.random.default_rng(seed))
    compressed = zlib.compress(raw, level)
    ends = [0, *sorted(int(cut * len(compressed)) for cut in cuts), len(compressed)]
    parts = [compressed[a:b] for a, b in itertools.pairwise(ends)]
    chunks = [*before, *((b"IDAT", part) for part in parts), *after, (b"IEND", b"")]
    data = _header(*size, colour_type, interlaced)
    data += b"".join(_chunk(*chunk) for chunk in chunks) + b"what follows is not read"
    assert (decode_plain_png(data, 1600) is None) == interlaced
    decoded = decode_image(data, ImageConfig())
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, _pillow(data))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_what_pillow_writes_is_plain(mode: str) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (20, 30, 4), np.uint8)
    image = Image.fromarray(noise).resize((300, 200), Image.Resampling.BICUBIC).convert(mode)
    file = io.BytesIO()
    image.save(file, "PNG")
    pixels = decode_plain_png(file.getvalue(), 60_000)
    assert pixels is not None
    np.testing.assert_array_equal(pixels.squeeze(), np.asarray(image))


@pytest.mark.parametrize("chunk", HARMFUL, ids=lambda chunk: f"{chunk[0]}{chunk[1][:12]}")
@pytest.mark.parametrize("last", [False, True], ids=["before", "after"])
def test_a_chunk_that_may_change_pixels_is_left_to_the_general_reader(
    chunk: tuple[bytes, bytes], last: bool
) -> None:
    data = _plain(colour_type=2)
    # A harmless chunk between: data chunks that are not adjacent are no longer one stream.
    place = len(data) - 12 if last else 33
    data = data[:place] + _chunk(*HARMLESS[0]) + _chunk(*chunk) + data[place:]
    assert decode_plain_png(data, 100) is None
    if chunk[1] in (SIDEWAYS, PROFILE, XMP):
        assert decode_image(data, ImageConfig()).shape == (7, 5, 3)


def test_palettes_other_depths_and_methods_are_left_to_the_general_reader() -> None:
    data = _plain()
    for place, values in {24: (1, 2, 4, 16), 25: (1, 3, 5, 7), 26: (1,), 27: (1,)}.items():
        for value in values:
            header = bytearray(data[:29])
            header[place] = value
            crc = struct.pack(">I", zlib.crc32(header[12:]))
            assert decode_plain_png(bytes(header) + crc + data[33:], 100) is None


def _flip(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 3))):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _truncate(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data))]


def _chunks(data: bytes) -> list[bytes]:
    position, chunks = 8, []
    while position < len(data):
        end = position + 12 + struct.unpack_from(">I", data, position)[0]
        chunks.append(data[position:end])
        position = end
    return chunks


def _rearrange(data: bytes, dice: random.Random) -> bytes:
    chunks = _chunks(data)
    first, second = dice.randrange(len(chunks)), dice.randrange(len(chunks))
    if dice.random() < 0.5:
        chunks[first], chunks[second] = chunks[second], chunks[first]
    else:
        chunks[first] = dice.choice((b"", 2 * chunks[first]))
    return SIGNATURE + b"".join(chunks)


def _rewrite(data: bytes, dice: random.Random) -> bytes:
    """One chunk with a flipped bit or truncated, with a corrected checksum."""
    chunks = _chunks(data)
    index = dice.randrange(len(chunks))
    kind, content = chunks[index][4:8], chunks[index][8:-4]
    if content:
        content = dice.choice((_flip, _truncate))(content, dice)
    chunks[index] = _chunk(kind, content)
    return SIGNATURE + b"".join(chunks)


@pytest.mark.parametrize("damage", [_flip, _truncate, _rearrange, _rewrite])
def test_damage_ends_as_in_the_general_reader(
    damage: Callable[[bytes, random.Random], bytes],
) -> None:
    dice = random.Random(damage.__name__)
    config = ImageConfig(max_pixels=10_000)
    outcomes = set()
    for case in range(500):
        data = _plain(case, dice.choice(sorted(COLOUR_TYPES)), dice.randrange(1, 30), 9)
        cut = dice.randrange(33 + 8, len(data) - 16)
        content = data[41:-16]
        parts = (content[: cut - 41], content[cut - 41 :])
        chunks = [HARMLESS[case % 8], *((b"IDAT", part) for part in parts), (b"IEND", b"")]
        damaged = damage(data[:33] + b"".join(_chunk(*chunk) for chunk in chunks), dice)
        found = _outcome(lambda damaged=damaged: decode_image(damaged, config))
        assert found == _outcome(lambda damaged=damaged: _generally(damaged, config)), case
        outcomes.add(found[0] if isinstance(found[0], Reason) else "pixels")
    assert len(outcomes) >= 2, outcomes


def test_cut_data_under_right_checksums_never_give_part_of_an_image() -> None:
    rows = _rows(7, 30, 3, np.random.default_rng(5))
    compressed = zlib.compress(rows)
    whole = _header(7, 30, 2) + _chunk(b"IDAT", compressed) + _chunk(b"IEND", b"")
    for size in range(len(compressed)):
        data = _header(7, 30, 2) + _chunk(b"IDAT", compressed[:size]) + _chunk(b"IEND", b"")
        pixels = decode_plain_png(data, 210)
        if pixels is not None:  # only the stream's own checksum is missing
            assert size >= len(compressed) - 8
            np.testing.assert_array_equal(pixels, _pillow(whole))


@pytest.mark.parametrize("colour_type", COLOUR_TYPES)
def test_a_batch_decodes_as_each_of_its_images_does(colour_type: int) -> None:
    """Images of one shape, of other shapes, damaged and missing, side by side in pictures."""
    channels = COLOUR_TYPES[colour_type]
    config = ImageConfig(5, 7, channels, 8)
    images: list[bytes | None] = [_plain(seed, colour_type) for seed in range(9)]
    images[2], images[4] = _plain(20, colour_type)[:-30], _plain(21, colour_type, 5, 7)
    images[5], images[6] = b"no image", None
    images[7] = _plain(22, colour_type).replace(b"IDAT", b"IDAT\0", 1)
    rows = _rows(7, 5, channels, np.random.default_rng(23))
    cut = _chunk(b"IDAT", zlib.compress(rows)[:-20])
    images[8] = _header(7, 5, colour_type) + cut + _chunk(b"IEND", b"")
    records = image_records([str(i) for i in range(9)], "file", images)
    batch = decode_batch(records, config, picture_bytes=4 * 7 * 5 * channels)
    column, rejects = batch.column("image"), batch.column("reject").to_pylist()
    assert sum(reject is None for reject in rejects) == 4
    for index, data in enumerate(images):
        if data is None:
            assert rejects[index]["reason"] == Reason.NO_IMAGE
            continue
        found = _outcome(lambda data=data: fit_image(_generally(data, config), config))
        if rejects[index] is None:
            assert column[index].as_py() == found[1], index
        else:
            assert rejects[index]["reason"] == found[0], index


@pytest.mark.parametrize("size", [(0, 5), (7, 0), (0, 0), (2**31, 2**31)])
def test_sizes_that_no_image_has_are_refused(size: tuple[int, int]) -> None:
    data = _header(*size, 0) + _plain()[33:]
    assert decode_plain_png(data, 100) is None
    found = _outcome(lambda: decode_image(data, ImageConfig()))
    assert found[0] in (Reason.CORRUPT, Reason.TOO_LARGE)
    assert found == _outcome(lambda: _generally(data, ImageConfig()))


def test_too_many_pixels_are_refused_before_they_are_inflated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bomb = _header(4000, 4000, 0) + _chunk(b"IDAT", zlib.compress(bytes(4001 * 4000)))
    bomb += _chunk(b"IEND", b"")
    assert decode_image(bomb, ImageConfig(max_pixels=4000**2)).shape == (4000, 4000, 1)

    def inflate(*_: object) -> None:
        raise AssertionError("inflated")

    monkeypatch.setattr(Image, "frombytes", inflate)
    with pytest.raises(RecordError) as caught:
        decode_image(bomb, ImageConfig(max_pixels=4000**2 - 1))
    assert caught.value.reason == Reason.TOO_LARGE
