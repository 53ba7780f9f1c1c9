"""The limits of a GIF: its extensions."""

from collections.abc import Iterator

from transforms.records.rejects import Reason, RecordError

# Pillow concatenates the blocks of a GIF's comment one by one, which takes quadratic time.
_COMMENT_BYTES, _EXTENSION_BYTES, _BLOCKS = 64 << 10, 8 << 20, 1 << 17
SIGNATURES = (b"GIF87a", b"GIF89a")
_COMMENT, _APPLICATION, _LOOP = 0xFE, 0xFF, b"NETSCAPE2.0"


def check_gif(data: bytes, max_pixels: int) -> None:
    """Checks the extensions before the first image, as Pillow reads them."""
    del max_pixels
    place = 13 + colour_table_bytes(data[10])
    comment = other = 0
    for blocks, (is_comment, size) in enumerate(_blocks(data, place), 1):
        comment, other = comment + is_comment * size, other + (not is_comment) * size
        if comment > _COMMENT_BYTES or other > _EXTENSION_BYTES or blocks > _BLOCKS:
            raise RecordError(
                Reason.CORRUPT,
                f"GIF: too many extensions before its image: {comment} bytes of comments and "
                f"{other} others in {blocks} blocks",
            )


def colour_table_bytes(flags: int) -> int:
    """The size of a colour table in bytes, 0 if the flags before it state that there is none."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _blocks(data: bytes, place: int) -> Iterator[tuple[bool, int]]:
    """For each block of an extension and each stray byte, whether it belongs to a comment, and its
    size. An extension ends with an empty block; one that is not a comment, with the second."""
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
