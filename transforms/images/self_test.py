"""Checks that the decoders return the right pixels for built-in images: a fault of the program or
of a library must not look like a fault of the data."""

import base64
import functools
import zlib

import numpy as np
import PIL

from ae_models.config.configuration import ImageConfig
from ae_models.errors import StageError
from transforms.images.decoders import decoded
from transforms.images.fitting import fit_image
from transforms.images.plain_png import plain_pngs_work
from transforms.records.rejects import told

_AS_IS = ImageConfig()
_BY_TENSORFLOW = "16-bit PNG"
_TOLERANCE = {"JPEG": 4}  # levels by which a decoder may deviate
_LEVEL = 77

# Each is the 3 × 5 pixels of `_ramp`, encoded, deflated, in base 64.
_IMAGES = {
    "plain PNG": (
        "eNrrDPBz5+WS4mJgYOD19HAJAtKsQMzMwQQkr4QErQdSIp4ujiEVc5JTJpgIOTLpmJmZ/fjBkLOApTdlh/JyoD"
        "yDp6ufyzqnhCYASLESdg=="
    ),
    "PNG": (
        "eNrrDPBz5+WS4mJgYOD19HAJAtKsQMzMwgwkV0rcOA2kFAN8QlxPPPy15eyzBTsv9SzdVzFxVUrttIDMJpvQPA"
        "3HKBFdNwZJo/3qJ22AikU9XRxDKm4lx1S+V9t8aWv2GZnreQwMKh2sb2wOLlEEKmDwdPVzWeeU0AQA3+MoqA=="
    ),
    "JPEG": (
        "eNqVjisOAkEMhv9O57XLip0EgkKjOANik03AECQWxy3W4OEKqNV4AoJD8DDcZJiCYh1f06aP9G/jLb5QzutZDS"
        "KAkiE+UUGRIFEJmiUarVlbY+3HXeaTO2t9z2e5kLKilxdSiMh3VRlmkzvr8r+JFwQPhmEKUIE4ULyiL0/+4FN3"
        "VIKU++mqCmSG4+U6jQdEnS3rRCt0tRAfKJjSOQ6YYqWb3Xazb9rJ8bRoD3SO9zfrxCQB"
    ),
    "WebP": (
        "eNoL8nRzs2FgYAh3dQoIC7DwMQCy9VkagAILJuSyeCR9/7lb7nDAHKe0f8Vq7F2MDL271ofraB6ZdCiiTe7i/x"
        "cTbev3MwAAxD8ZBA=="
    ),
    "TIFF": (
        "eNrz9NRisGBgYGhgYFZWWLClR0NhWntrcKHDpabWw4nPnF9FfJgYqiyy+sWeNLMFMVum9Vw3Vjz0q6GBgYuBgZ"
        "GZgRGokxWIGaFsZiBmArJB9DYQH0kNG5TNBMSCjCxgNgcQiyLpFUNii0PV6AOxDFQchBnA+kAQAOknGXg="
    ),
    "BMP": (
        "eNpz8q1igIAkINYAYlYgZgZiRgYOsLgEEB/hg2BuBgj+9fAEw7OzWxgu7VzAsG9pD8OqiRUM02pTGJoyAxjyQm"
        "0Yohw1GNx0RRiMJBkYWJiZGEHmsLOxsoDM5eLkYGcD0gC27BPf"
    ),
    "GIF": (
        "eNpz93SzME9kZWBmaGZgOPHw15azzxbsvNSzdF/FxFUptdMCMptsQvM0HKNEdN0YJI0YUIEOiADpZeAQZBBVcS"
        "g44HCQiYVNRUSAwcGBwRoANNUWVQ=="
    ),
    "16-bit PNG": (
        "eNrrDPBz5+WS4mJgYOD19HAJAtKsQMwswAQkW470vQFSIZ4ujiEcM5PTEiacMNuhdkdxv//zzXckddUuv30l7N"
        "Nn+cdsT9LtpzvnH81a9tXn9Uwl2UNdh4xb07vOiLwUeCkwT9MouGKZR/sGpe6vPqtnXgvgm8QiwsxwLUaeXzDQ"
        "JQ5oPoOnq5/LOqeEJgAFbDM/"
    ),
    "16-bit grey TIFF": (
        "eNrz9NRi4GBgYOBkYGBkYWAEsliBmBHKZgZiJkZmMFsAxIeyQZgNiS0IVV8FxGJIesWhbDkglkFSDwEdwgLqM6"
        "wU/GZaKfqtTDQs3dlhVLqrw2nOqfVBhwFoag22"
    ),
    "16-bit colour TIFF": (
        "eNrz9NRi4GBgYOBnYGBkYWAEsliBmBHKZgZiJkZmMH0IxAeyQeIgHWxQNhMQC0LVfwBiUag4SI8YkjniULYSEE"
        "sxsoLZJ4BYGsq+AMQyUL0grIHENmRkYuAB0jeA2BbJXhAQAEOYShguyUxLS8vMSdUrqGRABhVzkhNOTNuRdkGx"
        "R/bcliTOc+ePqWaHWG2fniypF8nwhEn6JgC8ARr0"
    ),
}


def check_decoders(config: ImageConfig = _AS_IS, *, anew: bool = False) -> None:
    """Decodes the built-in images, and fits images of one colour to another shape.

    Args:
      config: how images will be decoded. 16-bit PNGs, which need TensorFlow, are tested only if
        they can be used, as TensorFlow takes seconds to load.
      anew: whether to repeat the check if it was already done in this process.

    Raises:
      StageError: pixels are wrong, or an error is raised.
    """
    plain_pngs_work()
    check = _fault.__wrapped__ if anew else _fault
    if fault := check(config.bits != 8 or config.convert):
        by = f"Pillow {PIL.__version__}"
        raise StageError(f"decode stage failed even with no records, with {by}: {fault}")


@functools.cache
def _fault(with_tensorflow: bool) -> str | None:
    for name in _IMAGES:
        if name == _BY_TENSORFLOW and not with_tensorflow:
            continue
        try:
            pixels = decoded(built_in(name), _AS_IS).pixels
        except Exception as error:  # whatever it is, no record caused it
            return f"{name}: {told(error)}"
        expected = _ramp("16-bit" in name)[..., : 1 if "grey" in name else 3]
        if not _equal(pixels, expected, _TOLERANCE.get(name, 0)):
            return f"{name}: wrong pixels"
    return _fitting_fault()


def built_in(name: str) -> bytes:
    """An encoded image of 5 × 3 pixels."""
    return zlib.decompress(base64.b64decode(_IMAGES[name]))


def _ramp(deep: bool) -> np.ndarray:
    """(3, 5, 3) uint8 or uint16: all pixels, and all levels within a pixel, differ."""
    rows, columns, channels = np.ogrid[:3, :5, :3]
    levels = 60 * rows + 20 * columns + 25 * channels
    return (levels * 250 + rows + channels).astype(np.uint16) if deep else levels.astype(np.uint8)


def _equal(pixels: np.ndarray, expected: np.ndarray, tolerance: int) -> bool:
    if pixels.shape != expected.shape or pixels.dtype != expected.dtype:
        return False
    return bool((np.abs(pixels.astype(int) - expected) <= tolerance).all())


def _fitting_fault() -> str | None:
    for bits, dtype in ((8, np.uint8), (16, np.uint16)):
        config = ImageConfig(height=2, width=2, channels=1, bits=bits, convert=True)
        try:
            pixels = fit_image(np.full((4, 4, 3), _LEVEL, dtype), config)
        except Exception as error:
            return f"fitting {bits}-bit pixels: {told(error)}"
        if not _equal(pixels, np.full((2, 2, 1), _LEVEL, dtype), 0):
            return f"fitting {bits}-bit pixels: wrong pixels"
    return None
