"""tf.Transform's output as a function of pixels, the same in training and inside the SavedModel."""

from pathlib import Path
from typing import Any

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
