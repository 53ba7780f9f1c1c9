"""tf.Transform's output as a function of pixels, the same in training and inside the SavedModel."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

PIXELS = "pixels"  # the one feature that goes into tf.Transform's graph and comes out of it


class Preprocessing(tf.Module):
    """The scaling graph under `transform_fn/`: raw pixels (N, H, W, C) → scaled float32."""

    def __init__(self, transform_output: str | Path):
        super().__init__(name="preprocessing")
        self.graph = tf.saved_model.load(str(Path(transform_output) / "transform_fn"))

    def __call__(self, pixels: Any) -> tf.Tensor:
        """(N, H, W, C) uint8 or uint16 → (N, H, W, C) float32."""
        return self.graph.transform_fn({PIXELS: tf.cast(pixels, tf.float32)})[PIXELS]

    def levels(self, images: Any, dtype: str) -> np.ndarray:
        """The inverse, for pixels of NumPy's type `dtype`: scaled (N, H, W, C) → pixel levels,
        float32; 0 to 255 or to 65,535 where the scaled image was made of pixels.

        Every scaling is a straight line for each value, of which a black and a white image show
        both ends.
        """
        images, largest = np.asarray(images), np.iinfo(dtype).max
        ends = np.stack([np.full(images.shape[1:], level, dtype) for level in (0, largest)])
        dark, bright = np.asarray(self(ends))
        return (images - dark) / (bright - dark) * np.float32(largest)
