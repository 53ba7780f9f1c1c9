"""The limits of a PNG: its chunks."""

from transforms.images.png import chunks
from transforms.records.rejects import Reason, RecordError

# Pillow handles each chunk in Python.
_CHUNKS, _BYTES_A_CHUNK = 1000, 512


def check_png(data: bytes, max_pixels: int) -> None:
    """Checks the number of chunks, and of colour profiles among them."""
    del max_pixels  # checked after Pillow has read the header
    most = _CHUNKS + len(data) // _BYTES_A_CHUNK
    profiles = 0
    for count, (kind, _, _) in enumerate(chunks(data), 1):
        profiles += kind == b"iCCP"  # a few bytes of one may inflate to a mebibyte
        if count > most:
            raise RecordError(Reason.CORRUPT, f"PNG: more than {most} chunks")
        if profiles > 1:
            raise RecordError(Reason.CORRUPT, "PNG: several colour profiles")
