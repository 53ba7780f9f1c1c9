"""The limits of a WebP: its canvas."""

from transforms.images.limits.size import check_density, check_pixels

_ROOM = 3


def check_webp(data: bytes, max_pixels: int) -> None:
    """Checks the canvas: libwebp allocates all of it before its size can be queried, and more
    copies than other decoders, so a pixel counts as three."""
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
    check_pixels(width, height, max_pixels // _ROOM, "WebP: ", f" / {_ROOM}")
    check_density(width, height, len(data))
