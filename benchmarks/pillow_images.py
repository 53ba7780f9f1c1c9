"""Decodes Pillow's test images: pixels must equal `load()` with EXIF applied, or be rejected.

    pip download --no-binary pillow --no-deps -d FOLDER pillow==VERSION
    python -m benchmarks.pillow_images FOLDER/pillow-VERSION.tar.gz SHA256

VERSION is that of the installed Pillow, SHA256 is the archive's on PyPI. The archive is not
unpacked. Images are decoded as by `score` and `train`: by `decode_as_is` and, one by one, by
`decode_batch`. The exit status is 1 if an image is decoded to other pixels, or if an error is
raised.
"""

import collections
import hashlib
import io
import sys
import tarfile
import warnings
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageOps

from ae_models.config.configuration import ImageConfig
from transforms.images.decode_batch import decode_batch
from transforms.images.decoding import decode_as_is
from transforms.records.batches import image_records
from transforms.records.rejects import RecordError

_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "DIB", "GIF")
_MODES = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "1": "L"}
_MOST_PIXELS = ImageConfig().max_pixels


def by_pillow(data: bytes) -> tuple[str, np.ndarray]:
    """Format and pixels, (H, W, C), as Pillow decodes them: rotated and expanded."""
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode[0] in "IF":
            pixels = np.asarray(upright)
        else:
            plain = "RGBA" if image.has_transparency_data else "RGB"
            pixels = np.asarray(upright.convert(_MODES.get(upright.mode, plain)))
        return str(image.format), np.atleast_3d(pixels)


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether pixels are equal; only their high bytes where Pillow reduces 16 bits to 8."""
    if found.dtype == np.uint16 and expected.dtype == np.uint8:
        found = found >> 8
    return found.shape == expected.shape and bool((found == expected).all())


def outcome(data: bytes) -> tuple[str, str, str]:
    """Format, outcome, and reason."""
    try:
        name, expected = by_pillow(data)
    except Exception as error:
        name, expected = "not opened by Pillow", np.empty(0)
        told = f"Pillow: {type(error).__name__}"
    try:
        found = decode_as_is(data, _MOST_PIXELS)
    except RecordError as error:
        return name, str(error.reason), str(error)
    if not expected.size:
        return name, "READ", told
    height, width, channels = found.shape
    config = ImageConfig(height, width, channels, bits=8 if found.dtype == np.uint8 else 16)
    batch = decode_batch(image_records(["a"], "file", [data]), config)
    equal = batch["image"][0].as_py() == found.tobytes() and same(found, expected)
    return name, "equal" if equal else "UNEQUAL", ""


def main(archive: str, checksum: str) -> int:
    """Prints a table, and a line for each reject of an image that Pillow opens."""
    data = Path(archive).read_bytes()
    if hashlib.sha256(data).hexdigest() != checksum:
        print(f"{archive} does not match its checksum", file=sys.stderr)
        return 2
    warnings.simplefilter("ignore")  # Pillow's warnings about metadata
    table: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    with tarfile.open(fileobj=io.BytesIO(data)) as files:
        for member in files:
            if not member.isfile() or "/Tests/images/" not in member.name:
                continue
            file = files.extractfile(member)
            name, what, why = outcome(file.read() if file else b"")
            table[name][what] += 1
            if what in ("UNEQUAL", "READ") or (what != "equal" and name in (*_FORMATS, "MPO")):
                print(f"{member.name.partition('/Tests/images/')[2]}: {what}: {why}")
    print(f"\nPillow {PIL.__version__}\n\n| format | files | equal | rejected | unequal |")
    print("|---|---|---|---|---|")
    for name, counts in sorted(table.items()):
        rejects = {key: n for key, n in counts.items() if key.islower() and key != "equal"}
        rejected = ", ".join(f"{n} {key}" for key, n in sorted(rejects.items())) or "0"
        unequal = counts["UNEQUAL"] + counts["READ"]
        print(f"| {name} | {counts.total()} | {counts['equal']} | {rejected} | {unequal} |")
    return int(any(counts["UNEQUAL"] + counts["READ"] for counts in table.values()))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
