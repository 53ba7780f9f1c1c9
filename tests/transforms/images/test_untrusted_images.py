"""Images made to cost more than their pixels: rejected, using little time and memory."""

import io
import struct
import time
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from ae_models.config.configuration import ImageConfig
from tests.fuzz.images import image_seeds
from transforms.images.decode_batch import decode_batch
from transforms.images.decoding import decode_as_is
from transforms.images.limits.cost import check_cost
from transforms.records.batches import IMAGE, REJECT, image_records
from transforms.records.rejects import RecordError

LIMIT = ImageConfig().max_pixels
SIGNATURE = b"\x89PNG\r\n\x1a\n"
HARD = "the check lets through what takes a decoder long, or much memory"


def _png_chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, rows: bytes, *more: bytes, bits: int = 8, kind: int = 0) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    parts = [_png_chunk(b"IHDR", head), *more, _png_chunk(b"IDAT", rows), _png_chunk(b"IEND")]
    return SIGNATURE + b"".join(parts)


def _saved(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    (image or Image.new("RGB", (16, 16), (9, 99, 199))).save(file, kind, **options)
    return file.getvalue()


ROWS = zlib.compress(bytes(17 * 16))


def _exif_bomb(tags: int, size: int) -> bytes:
    """EXIF in which all tags point to the same bytes."""
    entries = b"".join(struct.pack(">HHII", 1000 + n, 7, size - 100, 10) for n in range(tags))
    return (b"MM\0*\0\0\0\x08" + struct.pack(">H", tags) + entries).ljust(size, b"\0")


def _jpeg_with(segments: bytes) -> bytes:
    jpeg = _saved("JPEG")
    return jpeg[:2] + segments + jpeg[2:]


def _segment(code: int, data: bytes) -> bytes:
    return bytes([255, code]) + struct.pack(">H", len(data) + 2) + data


def _jpeg_of_scans(scans: int, hidden: bool = False) -> bytes:
    """The last scan of a progressive JPEG, repeated; hidden: after a segment that seems to skip
    the scans."""
    jpeg = _saved("JPEG", progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    scan = jpeg[last:-2]
    return jpeg[:last] + (b"\xff\x01" if hidden else b"") + scan * scans + b"\xff\xd9"


def _tiff(tags: list[tuple[int, int, int, int]], more: bytes = b"") -> bytes:
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + more


BASIC = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1)]
BASIC += [(277, 3, 1, 1)]


def _gif_with(extension: bytes) -> bytes:
    gif = _saved("GIF", Image.new("L", (8, 8)))
    start = gif.index(b",")
    return gif[:start] + extension + gif[start:]


def _blocks(count: int, size: int) -> bytes:
    return (bytes([size]) + b"x" * size) * count


def _webp_canvas(width: int, height: int) -> bytes:
    frames = [Image.new("RGB", (16, 16), (n, 0, 0)) for n in (1, 200)]
    webp = bytearray(_saved("WEBP", frames[0], save_all=True, append_images=frames[1:]))
    webp[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(webp)


def _rle_bmp(width: int, height: int, codes: bytes) -> bytes:
    header = struct.pack("<IiiHHIIIIII", 40, width, height, 1, 8, 1, len(codes), 0, 0, 0, 0)
    palette = b"".join(bytes([level, level, level, 0]) for level in range(256))
    return b"BM" + struct.pack("<III", 0, 0, 54 + 1024) + header + palette + codes


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "PNG of many pixels": (lambda: _png(10**5, 10**5, ROWS), "too_large"),
    "PNG of one pixel too many": (lambda: _png(LIMIT + 1, 1, ROWS), "too_large"),
    "PNG of many pixels and few bytes": (lambda: _png(5000, 5000, ROWS), "too_large"),
    "PNG of 16 bits and many pixels": (lambda: _png(10**4, 10**4, ROWS, bits=16), "too_large"),
    "PNG of empty chunks": (
        lambda: _png(16, 16, ROWS, _png_chunk(b"abCd") * 200_000), "corrupt"),
    "PNG of empty data chunks": (
        lambda: _png(16, 16, b"", _png_chunk(b"IDAT") * 200_000), "corrupt"),
    "PNG of colour profiles": (
        lambda: _png(16, 16, ROWS,
                     _png_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(10**6))) * 900), "corrupt"),
    "PNG whose text is a bomb": (
        lambda: _png(16, 16, ROWS, _png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**8)))),
        "corrupt"),
    "PNG of much text": (
        lambda: _png(16, 16, ROWS,
                     *[_png_chunk(b"zTXt", b"%d\0\0" % n + zlib.compress(bytes(10**6)))
                       for n in range(80)]), "corrupt"),
    "PNG with an EXIF bomb": (
        lambda: _png(16, 16, ROWS, _png_chunk(b"eXIf", _exif_bomb(5000, 200_000))), "corrupt"),
    "PNG with an EXIF bomb as text": (
        lambda: _png(16, 16, ROWS, _png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(
            b"\nexif\n 1\n" + _exif_bomb(5000, 200_000).hex().encode()))), "corrupt"),
    "PNG with EXIF in EXIF": (
        lambda: _png(16, 16, ROWS, _png_chunk(b"eXIf", b"Exif\0\0" * 100_000)), "corrupt"),
    "PNG of 16 bits with a tail": (
        lambda: _png(16, 16, zlib.compress(bytes(10**6)) + bytes(5 << 20),
                     bits=16), "corrupt"),
    "JPEG of many scans": (lambda: _jpeg_of_scans(5000), "corrupt"),
    "JPEG of hidden scans": (lambda: _jpeg_of_scans(5000, hidden=True), "corrupt"),
    "JPEG of many segments": (lambda: _jpeg_with(_segment(0xFE, b"") * 10**5), "corrupt"),
    "JPEG of stray bytes": (lambda: _jpeg_with(b"\xff" * 10**6), "corrupt"),
    "JPEG with an EXIF bomb": (
        lambda: _jpeg_with(_segment(0xE1, b"Exif\0\0" + _exif_bomb(5000, 65_000))), "corrupt"),
    "JPEG with EXIF in parts": (
        lambda: _jpeg_with(_segment(0xE1, b"Exif\0\0" + _exif_bomb(2000, 65_000))
                           + _segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 20), "corrupt"),
    "TIFF whose tags are one place": (
        lambda: _tiff([*BASIC, *((n, 7, 10**6, 8) for n in range(1000, 3000))], bytes(10**6)),
        "corrupt"),
    "TIFF of many numbers": (
        lambda: _tiff([(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 10**6, 100)], bytes(2 * 10**6)),
        "corrupt"),
    "TIFF of many tags": (
        lambda: _tiff([(n, 3, 1, 1) for n in range(256, 20000)]), "corrupt"),
    "TIFF of a huge tile": (
        lambda: _tiff([*BASIC, (322, 4, 1, 40_000), (323, 4, 1, 40_000), (324, 4, 1, 8),
                       (325, 4, 1, 100)], bytes(200)), "too_large"),
    "GIF of comments": (lambda: _gif_with(b"!\xfe" + _blocks(10**4, 200) + b"\0"), "corrupt"),
    "GIF of a comment without end": (
        lambda: _gif_with(b"!\xfe" + _blocks(10**4, 200)), "corrupt"),
    "GIF of a comment behind an empty block": (
        lambda: _gif_with(b"!\xf9\0," + b"," * 44 + b"\0!\xfe" + _blocks(10**4, 200)), "corrupt"),
    "GIF of tiny blocks": (lambda: _gif_with(b"!\x01" + _blocks(10**6, 1) + b"\0"), "corrupt"),
    "GIF of a frame beyond its screen": (
        lambda: _gif_with(b",\0\0\0\0\xff\xff\xff\xff\0\2"), "too_large"),
    "WebP of a huge canvas": (lambda: _webp_canvas(1 << 24, 200), "too_large"),
    "WebP of a large canvas": (lambda: _webp_canvas(8000, 8000), "too_large"),
    "BMP that skips rows": (lambda: _rle_bmp(40_000_000, 2, b"\0\2\xff\xff" * 10), "too_large"),
    "BMP of run lengths without end": (lambda: _rle_bmp(16, 16, b"\0\0" * (5 << 20)), "too_large"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_a_reject_in_no_time(name: str) -> None:
    make, reason = BOMBS[name]
    data = make()
    started = time.process_time()
    config = ImageConfig(height=16, width=16, channels=1, bits=8, convert=True)
    batch = decode_batch(image_records(["bomb"], "x", [data]), config)
    assert time.process_time() - started < 2, HARD
    (reject,) = batch.column(REJECT).to_pylist()
    assert reject is not None
    assert reject["reason"] == reason, reject
    assert batch.column(IMAGE).null_count == 1


@pytest.mark.parametrize("kind", image_seeds())
def test_no_honest_image_is_refused(kind: str) -> None:
    for data in image_seeds()[kind]:
        check_cost(data, LIMIT)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "I;16"])
@pytest.mark.parametrize("missing", [1, 3, 12])
def test_a_png_without_its_last_rows_is_corrupt(mode: str, missing: int, interlaced: bool) -> None:
    """A complete compressed stream with fewer rows than the header states."""
    kinds = {"L": (8, 0, 1), "LA": (8, 4, 2), "RGB": (8, 2, 3), "RGBA": (8, 6, 4)}
    kinds |= {"P": (8, 3, 1), "1": (1, 0, 1 / 8), "I;16": (16, 0, 2)}
    bits, kind, size = kinds[mode]
    generator = np.random.default_rng(missing)
    rows = generator.integers(1, 256, (12, 1 + round(16 * size)), np.uint8)
    rows[:, 0] = 0
    palette = [_png_chunk(b"PLTE", bytes(range(255)) + bytes(513))] if mode == "P" else []
    data = rows[: 12 - missing].tobytes()
    png = _png(16, 12, zlib.compress(data), *palette, bits=bits, kind=kind)
    if interlaced:  # the same bytes: an interlaced image needs no fewer
        head = struct.pack(">IIBBBBB", 16, 12, bits, kind, 0, 0, 1)
        png = SIGNATURE + _png_chunk(b"IHDR", head) + png[8 + 25 :]
    with pytest.raises(RecordError) as caught:
        decode_as_is(png, LIMIT)
    assert caught.value.reason == "corrupt"


@pytest.mark.parametrize("level", [0, 0xA5, 0x5A, 255])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (3, 200)])
def test_a_last_row_of_any_one_level_is_a_row(level: int, size: tuple[int, int]) -> None:
    for mode in ("L", "RGB", "LA", "RGBA"):
        colour = (level, 0x5A, 0xC3, 0x3C)[: len(mode)] if level == 0xA5 else (level,) * len(mode)
        image = Image.new(mode, size, colour if len(mode) > 1 else level)
        for options in ({}, {"exif": Image.Exif()}, {"icc_profile": bytes(10)}):
            pixels = decode_as_is(_saved("PNG", image, **options), LIMIT)
            assert pixels.tobytes() == image.tobytes()
