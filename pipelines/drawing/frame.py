"""Images of any shape in squares of one size."""

import numpy as np
from PIL import Image


def as_image(pixels: np.ndarray) -> Image.Image:
    """(h, w) as float32, or (h, w, 1) or (h, w, 3) uint8 in colour."""
    if pixels.ndim == 2:
        return Image.fromarray(np.ascontiguousarray(pixels, np.float32))
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")


def framed(image: Image.Image, side: int, resampling: Image.Resampling) -> Image.Image:
    """The image scaled to the sides of a square, in its middle, on white, or on 0 for floats."""
    frame = Image.new(image.mode, (side, side), 0 if image.mode == "F" else "white")
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    frame.paste(image.resize(size, resampling), ((side - size[0]) // 2, (side - size[1]) // 2))
    return frame
