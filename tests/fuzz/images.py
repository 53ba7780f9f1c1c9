"""Small images of every format and kind, to be mutated."""

import io
from typing import Any

import numpy as np
from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")


def image_seeds() -> dict[str, list[bytes]]:
    """Encoded images by format, none above a few kibibytes."""
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (40, 30, 4), np.uint8)
    smooth = np.add.outer(np.arange(48), np.arange(36)).astype(np.uint8)
    colour = Image.fromarray(noise[..., :3])
    grey, alpha = Image.fromarray(smooth), Image.fromarray(noise)
    deep = Image.fromarray(smooth.astype(np.uint16) * 700)
    few = colour.quantize(16)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    animation: dict[str, Any] = {
        "save_all": True,
        "append_images": [colour, Image.new("RGB", (30, 40))],
    }
    return {
        "PNG": [
            _saved("PNG", image, **options)
            for image, options in (
                *((each, {}) for each in (colour, grey, alpha, deep, few, grey.convert("1"))),
                *((grey.convert("LA"), {}), (colour, {"exif": exif, "icc_profile": bytes(300)})),
                (colour, animation),
            )
        ],
        "JPEG": [
            _saved("JPEG", image, **options)
            for image, options in (
                *((colour, {}), (grey, {}), (colour.convert("CMYK"), {})),
                *((colour, {"progressive": True}), (grey, {"progressive": True, "exif": exif})),
                (colour, {"subsampling": 0, "icc_profile": bytes(300), "comment": "a comment"}),
                (colour, {"restart_marker_blocks": 1, "exif": exif, "dpi": (72, 72)}),
            )
        ],
        "WEBP": [
            _saved("WEBP", image, **options)
            for image, options in (
                *((colour, {}), (alpha, {}), (colour, {"lossless": True})),
                *((alpha, {"lossless": True, "exif": exif.tobytes()}), (colour, animation)),
            )
        ],
        "TIFF": [
            _saved("TIFF", image, **options)
            for image, options in (
                *((each, {}) for each in (colour, grey, alpha, deep, few)),
                *(
                    (colour, {"compression": name})
                    for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd")
                ),
                *((grey.convert("1"), {"compression": name}) for name in ("group3", "group4")),
                *((colour, animation), (grey, {"big_tiff": True})),
                (colour, {"tiffinfo": {0x0112: 6}, "compression": "tiff_lzw"}),
            )
        ],
        "BMP": [
            *(_saved("BMP", image) for image in (colour, grey, alpha, few, grey.convert("1"))),
            _run_length_bmp(),
        ],
        "GIF": [
            _saved("GIF", image, **options)
            for image, options in (
                *((few, {}), (grey, {}), (few, {"transparency": 0, "comment": b"a comment"})),
                *((colour, animation), (few, {"interlace": 0})),
            )
        ],
    }


def _saved(kind: str, image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _run_length_bmp() -> bytes:
    """Pillow writes none."""
    rows = b"".join(bytes([5, row, 0, 3, 1, 2, 3, 0, 0, 0]) for row in range(8)) + b"\0\1"
    header = (40).to_bytes(4, "little") + (8).to_bytes(4, "little") * 2 + b"\1\0\x08\0"
    header += (1).to_bytes(4, "little") + len(rows).to_bytes(4, "little") + bytes(16)
    palette = b"".join(bytes([level, level, level, 0]) for level in range(256))
    offset = 14 + len(header) + len(palette)
    start = b"BM" + (offset + len(rows)).to_bytes(4, "little") + bytes(4)
    return start + offset.to_bytes(4, "little") + header + palette + rows
