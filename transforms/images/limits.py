"""What an encoded image may cost: checked before any of it is decoded.

A decoder's time and memory are bounded by the image's pixels, which `max_pixels` limits, for honest
files. These are the ways around that: more work than the pixels account for, or larger buffers.
Nothing can stop native code that runs too long, so what it would loop over is counted beforehand.
Each limit is far from what cameras and image editors write.
"""

import contextlib
import re
import struct
from collections.abc import Callable, Iterator

from transforms.images.png import SIGNATURE, chunks
from transforms.records.rejects import Reason, RecordError

_JPEG = b"\xff\xd8\xff"
_GIFS = (b"GIF87a", b"GIF89a")
_TIFFS = (b"MM\0*", b"II*\0", b"MM*\0", b"II\0*", b"MM\0+", b"II+\0")

_WEBP_ROOM = 3
_ANY_DENSITY_PIXELS, _PIXELS_A_BYTE = 1 << 24, 1032
# Pillow handles each chunk of a PNG, and each segment of a JPEG, in Python.
_CHUNKS, _BYTES_A_CHUNK = 1000, 512
_SEGMENTS, _STRAY_BYTES = 4096, 64 << 10
# A progressive JPEG goes over all its pixels for every scan; encoders write some ten, at most 64.
_SCANS = 100
_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
# In compressed data, restart marks (D0 to D7) belong to the scan.
_MARKER_BEHIND_SCAN = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_ALONE = frozenset({0x01, _SOI, _EOI, *range(0xD0, 0xD8)})  # markers without a length
_SINGLE_PASS = frozenset({0xC0, 0xC1})  # sequential: one scan where it has all components
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Pillow copies every tag of a directory, and these may all lie in one place.
_TAG_BYTES, _EXIF_BYTES, _EXIF_PREFIX = 256 << 20, 4 << 20, b"Exif\0\0"
_TIFF_TAGS, _TIFF_VALUES = 4096, 1 << 17  # values of one tag: strips, tiles, colours
_TIFF_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TIFF_UNITS |= {16: 8}
_TIFF_BLOBS = (1, 2, 7)  # types that stay bytes
_TILE_WIDTH, _TILE_LENGTH = 322, 323
# Pillow joins the blocks of a GIF's comment one by one: time grows with the square.
_GIF_COMMENT_BYTES, _GIF_EXTENSION_BYTES, _GIF_BLOCKS = 64 << 10, 8 << 20, 1 << 17
_COMMENT, _APPLICATION, _LOOP = 0xFE, 0xFF, b"NETSCAPE2.0"
# Pillow's decoder of run lengths is Python, and skips 255 rows at a time.
_RLE_SIDE, _RLE_PIXELS, _RLE_BYTES = 1 << 16, 1 << 24, 8 << 20


def check_cost(data: bytes, max_pixels: int) -> None:
    """Raises RecordError if decoding `data` could cost more than its pixels account for: reason
    `too_large` for a size, `corrupt` for a structure that no encoder makes.

    Data that break off, or are of no known format, pass: the decoder says what is wrong.
    """
    for starts, check in _CHECKS:
        if data.startswith(starts):
            with contextlib.suppress(struct.error, IndexError):  # the data end early
                check(data, max_pixels)
            return


def check_exif(exif: bytes) -> None:
    """Raises RecordError if reading `exif`, a JPEG's or any other, would take more memory than
    256 MiB: its tags may all point to the same bytes, and Pillow copies them for each."""
    if len(exif) > _EXIF_BYTES:
        raise RecordError(Reason.TOO_LARGE, f"EXIF of {len(exif)} bytes, more than {_EXIF_BYTES}")
    body = exif.removeprefix(_EXIF_PREFIX)
    if body.startswith(_EXIF_PREFIX):  # Pillow takes prefixes away one by one
        raise RecordError(Reason.CORRUPT, "EXIF inside EXIF")
    order = ">" if body.startswith(b"MM") else "<"
    try:
        (offset,) = struct.unpack_from(f"{order}I", body, 4)
        (tags,) = struct.unpack_from(f"{order}H", body, offset)
    except struct.error:
        return
    if tags * len(body) > _TAG_BYTES:
        raise RecordError(Reason.CORRUPT, f"EXIF of {len(body)} bytes with {tags} tags")


def _check_png(data: bytes, max_pixels: int) -> None:
    del max_pixels  # checked once Pillow has read the header
    most = _CHUNKS + len(data) // _BYTES_A_CHUNK
    profiles = 0
    for count, (kind, _) in enumerate(chunks(data), 1):
        profiles += kind == b"iCCP"  # a few bytes of each may inflate to a mebibyte
        if count > most:
            raise RecordError(Reason.CORRUPT, f"PNG: more than {most} chunks")
        if profiles > 1:
            raise RecordError(Reason.CORRUPT, "PNG: several colour profiles")


def _check_jpeg(data: bytes, max_pixels: int) -> None:
    """EXIF and segments up to the first scan, then, of a JPEG that has several, the scans."""
    del max_pixels
    components, single = 0, False
    exif: list[bytes] = []
    for code, place, segment in _segments(data):
        if code in _FRAMES:
            components, single = segment[5], code in _SINGLE_PASS
        elif code == 0xE1 and segment.startswith(_EXIF_PREFIX):  # Pillow joins several
            exif.append(segment.removeprefix(_EXIF_PREFIX) if exif else segment)
            check_exif(b"".join(exif))
        elif code == 0xE2 and segment.startswith(b"MPF\0"):
            check_exif(segment[4:])
        elif code == _SOS:
            if not (single and segment[0] == components):
                _check_scans(data, place)
            return


def _segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Marker, place and content of each segment of a JPEG, up to the first scan's."""
    place, stray, code = 2, 0, 0
    for _ in range(_SEGMENTS):
        found = None if code == _SOS else _MARKER.search(data, place)
        if found is None:
            return
        code = found[1][0]
        stray += found.start(1) - place - 1
        if stray > _STRAY_BYTES:
            raise RecordError(Reason.CORRUPT, f"JPEG: {stray} bytes between its segments")
        place = found.end()
        if code not in _ALONE:  # Pillow goes on behind an end, too
            segment = data[place + 2 : place + int.from_bytes(data[place : place + 2])]
            yield code, place, segment
            place += max(2, 2 + len(segment))
    raise RecordError(Reason.CORRUPT, f"JPEG: more than {_SEGMENTS} segments before its pixels")


def _check_scans(data: bytes, place: int) -> None:
    """Counts the scans from the first one's header at `place` on."""
    scans = 1
    place += max(2, int.from_bytes(data[place : place + 2]))
    for _ in range(_SEGMENTS):
        found = _MARKER_BEHIND_SCAN.search(data, place)
        if found is None or (code := found[1][0]) == _EOI:
            return
        scans += code == _SOS
        if scans > _SCANS:
            raise RecordError(Reason.CORRUPT, f"JPEG: more than {_SCANS} scans")
        place = found.end()
        if code not in _ALONE:
            place += max(2, int.from_bytes(data[place : place + 2]))
    raise RecordError(Reason.CORRUPT, f"JPEG: more than {_SEGMENTS} segments between its scans")


def _check_webp(data: bytes, max_pixels: int) -> None:
    """libwebp makes room for the whole canvas before anyone can ask for its size, and for more of
    them than other decoders: a pixel counts for three."""
    kind, body = data[12:16], data[20:30]
    if data[8:12] != b"WEBP" or len(body) < 10:
        return
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(body[at : at + 3], "little") for at in (4, 7))
    elif kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (int.from_bytes(body[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    check_pixels(width, height, max_pixels // _WEBP_ROOM, "WebP: ", f" / {_WEBP_ROOM}")
    check_density(width, height, len(data))


def check_pixels(width: int, height: int, max_pixels: int, what: str = "", share: str = "") -> None:
    """Raises RecordError, reason `too_large`, for more pixels than the limit."""
    if width * height > max_pixels:
        raise RecordError(
            Reason.TOO_LARGE,
            f"{what}{width} x {height} pixels, more than image.max_pixels{share} = {max_pixels}",
        )


def check_density(width: int, height: int, size: int) -> None:
    """Raises RecordError, reason `too_large`, for a large image of hardly any bytes, `size`: what
    compresses better than zeros do in a PNG was made to be large."""
    if width * height > max(_ANY_DENSITY_PIXELS, _PIXELS_A_BYTE * size):
        raise RecordError(
            Reason.TOO_LARGE,
            f"{width} x {height} pixels of {size} bytes, more than {_PIXELS_A_BYTE} a byte",
        )


def _check_tiff(data: bytes, max_pixels: int) -> None:
    """The tags of the first directory: Pillow keeps a copy of each one's values, makes a Python
    object of each number among them, and an entry of each strip; libtiff has room for a tile."""
    order, big = ">" if data.startswith(b"MM") else "<", data[2] == 43
    offset_type, count_type, entry = ("Q", "Q", "HHQ8s") if big else ("I", "H", "HHI4s")
    (offset,) = struct.unpack_from(order + offset_type, data, 8 if big else 4)
    (tags,) = struct.unpack_from(order + count_type, data, offset)
    if tags > _TIFF_TAGS:
        raise RecordError(Reason.CORRUPT, f"TIFF: {tags} tags")
    start, entries = offset + struct.calcsize(order + count_type), struct.Struct(order + entry)
    held, sides = 0, {}
    # What is left of a directory that breaks off is an image to Pillow.
    whole = min(tags, (len(data) - start) // entries.size)
    for at in range(start, start + whole * entries.size, entries.size):
        tag, kind, count, value = entries.unpack_from(data, at)
        size = count * _TIFF_UNITS.get(kind, 0)
        held += min(size, len(data)) if size > len(value) else 0
        if kind not in _TIFF_BLOBS and size and count > _TIFF_VALUES:
            raise RecordError(Reason.CORRUPT, f"TIFF: {count} values of tag {tag}")
        if held > len(data):
            raise RecordError(Reason.CORRUPT, "TIFF: tags of more bytes than the file has")
        if tag in (_TILE_WIDTH, _TILE_LENGTH) and kind in (3, 4, 16) and count == 1:
            unit = _TIFF_UNITS[kind]
            sides[tag] = int.from_bytes(value[:unit], "big" if order == ">" else "little")
    check_pixels(sides.get(_TILE_WIDTH, 0), sides.get(_TILE_LENGTH, 0), max_pixels, "a tile of ")


def _check_gif(data: bytes, max_pixels: int) -> None:
    """The extensions before the first image, by Pillow's reading of them."""
    del max_pixels
    place = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    comment = other = 0
    for blocks, (is_comment, size) in enumerate(_gif_blocks(data, place), 1):
        comment, other = comment + is_comment * size, other + (not is_comment) * size
        if comment > _GIF_COMMENT_BYTES or other > _GIF_EXTENSION_BYTES or blocks > _GIF_BLOCKS:
            raise RecordError(
                Reason.CORRUPT,
                f"GIF: {comment} bytes of comment, {other} of others in {blocks} blocks, before "
                "its image",
            )


def _gif_blocks(data: bytes, place: int) -> Iterator[tuple[bool, int]]:
    """Of each block of an extension, and each stray byte, whether it is a comment's, and its size.
    An extension ends with an empty block, but of one that is no comment with the second."""
    while data[place] not in b",;":
        if data[place] != 0x21:
            place += 1
            yield False, 1
            continue
        is_comment, first = data[place + 1] == _COMMENT, data[place + 3 : place + 14]
        certain = 0 if is_comment else 1 + (data[place + 1] == _APPLICATION and first == _LOOP)
        place += 2
        while (size := data[place]) or certain > 0:
            yield is_comment, size
            place, certain = place + 1 + size, certain - 1
        place += 1


def _check_bmp(data: bytes, max_pixels: int) -> None:
    """Run lengths alone: all other bitmaps are as large as their file."""
    (header,) = struct.unpack_from("<I", data, 14)
    if header == 12 or struct.unpack_from("<I", data, 30)[0] not in (1, 2):
        return
    width, height = struct.unpack_from("<ii", data, 18)
    width, height = width & 0xFFFFFFFF, abs(height)
    if width > _RLE_SIDE or width * height > _RLE_PIXELS or len(data) > _RLE_BYTES:
        raise RecordError(
            Reason.TOO_LARGE,
            f"a run-length coded BMP of {width} x {height} pixels and {len(data)} bytes, more than "
            f"{_RLE_SIDE} wide, {_RLE_PIXELS} pixels or {_RLE_BYTES} bytes",
        )
    check_pixels(width, height, max_pixels)


_CHECKS: tuple[tuple[bytes | tuple[bytes, ...], Callable[[bytes, int], None]], ...] = (
    (_JPEG, _check_jpeg),
    (SIGNATURE, _check_png),
    (b"RIFF", _check_webp),
    (_TIFFS, _check_tiff),
    (_GIFS, _check_gif),
    (b"BM", _check_bmp),
)
