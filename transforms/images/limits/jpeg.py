"""The limits of a JPEG: its segments, EXIF and scans."""

import re
from collections.abc import Iterator

from transforms.images.limits.exif import EXIF_PREFIX, check_exif
from transforms.records.rejects import Reason, RecordError

# Pillow handles each segment in Python.
_SEGMENTS, _STRAY_BYTES = 4096, 64 << 10
# Every scan of a progressive JPEG passes over all pixels; encoders write about ten, at most 64.
_SCANS = 100
_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
# In compressed data, restart markers (D0 to D7) belong to the scan.
_MARKER_BEHIND_SCAN = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_ALONE = frozenset({0x01, _SOI, _EOI, *range(0xD0, 0xD8)})  # markers without a length
_SINGLE_PASS = frozenset({0xC0, 0xC1})  # sequential: a single scan if it has all components
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def check_jpeg(data: bytes, max_pixels: int) -> None:
    """Checks EXIF and segments up to the first scan, then the scans if there may be several."""
    del max_pixels
    components, single = 0, False
    exif: list[bytes] = []
    for code, place, segment in _segments(data):
        if code in _FRAMES:
            components, single = segment[5], code in _SINGLE_PASS
        elif code == 0xE1 and segment.startswith(EXIF_PREFIX):  # Pillow joins several
            exif.append(segment.removeprefix(EXIF_PREFIX) if exif else segment)
            check_exif(b"".join(exif))
        elif code == 0xE2 and segment.startswith(b"MPF\0"):
            check_exif(segment[4:])
        elif code == _SOS:
            if not (single and segment[0] == components):
                _check_scans(data, place)
            return


def _segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Marker, place and content of each segment of a JPEG, up to that of the first scan."""
    place, stray, code = 2, 0, 0
    for _ in range(_SEGMENTS):
        found = None if code == _SOS else _MARKER.search(data, place)
        if found is None:
            return
        code = found[1][0]
        stray += found.start(1) - place - 1
        if stray > _STRAY_BYTES:
            raise RecordError(Reason.CORRUPT, f"JPEG: {stray} stray bytes between its segments")
        place = found.end()
        if code not in _ALONE:  # Pillow continues after an end marker, too
            segment = data[place + 2 : place + int.from_bytes(data[place : place + 2])]
            yield code, place, segment
            place += max(2, 2 + len(segment))
    raise RecordError(Reason.CORRUPT, f"JPEG: more than {_SEGMENTS} segments before its pixels")


def _check_scans(data: bytes, place: int) -> None:
    """Counts the scans, starting with the first one, whose header is at `place`."""
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
