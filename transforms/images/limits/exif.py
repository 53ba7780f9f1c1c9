"""The limits of EXIF in any format."""

import struct

from transforms.records.rejects import Reason, RecordError

# Pillow copies every tag of a directory, and all tags may point to the same bytes.
_TAG_BYTES, _EXIF_BYTES = 256 << 20, 4 << 20
EXIF_PREFIX = b"Exif\0\0"


def check_exif(exif: bytes) -> None:
    """Raises RecordError if reading `exif`, from any format, would take more than 256 MiB of
    memory: all its tags may point to the same bytes, and Pillow copies them for each."""
    if len(exif) > _EXIF_BYTES:
        raise RecordError(
            Reason.TOO_LARGE, f"EXIF of {len(exif)} bytes; the limit is {_EXIF_BYTES}"
        )
    body = exif.removeprefix(EXIF_PREFIX)
    if body.startswith(EXIF_PREFIX):  # Pillow removes prefixes one by one
        raise RecordError(Reason.CORRUPT, "EXIF inside EXIF")
    order = ">" if body.startswith(b"MM") else "<"
    try:
        (offset,) = struct.unpack_from(f"{order}I", body, 4)
        (tags,) = struct.unpack_from(f"{order}H", body, offset)
    except struct.error:
        return
    if tags * len(body) > _TAG_BYTES:
        raise RecordError(Reason.CORRUPT, f"EXIF of {len(body)} bytes with {tags} tags: too many")
