"""tf.Transform's output as a function of pixels, the same in training and inside the SavedModel."""

import bisect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ae_models.backbones.feature_maps import FeatureMaps
from ae_models.bundles.plain_path import plain_path
from ae_models.models.inference import Quantity

PIXELS = "pixels"  # the one feature that goes into tf.Transform's graph and comes out of it


class Preprocessing(tf.Module):
    """The scaling graph under `transform_fn/`: raw pixels (N, H, W, C) → scaled float32."""

    def __init__(self, transform_output: str | Path):
        super().__init__(name="preprocessing")
        with plain_path(transform_output) as plain:
            self.graph = tf.saved_model.load(str(plain / "transform_fn"))

    def __call__(self, pixels: Any) -> tf.Tensor:
        """(N, H, W, C) uint8 or uint16 → (N, H, W, C) float32."""
        return self.graph.transform_fn({PIXELS: tf.cast(pixels, tf.float32)})[PIXELS]

    def prepared(self, pixels: Any) -> tuple[tf.Tensor, Mapping[str, Quantity]]:
        """The same, and quantities that scores may ask for: none of pixels."""
        return self(pixels), {}

    def levels(self, images: Any, dtype: str) -> np.ndarray:
        """The inverse, for pixels of NumPy's type `dtype`: scaled (N, H, W, C) → pixel levels,
        float32; 0 to 255 or to 65,535 where the scaled image was made of pixels, but for what the
        scaling cut off.

        Every scaling is a straight line for each value between two levels, and level beyond them.
        """
        images = np.asarray(images)
        low, high = self._ends(images.shape[1:], dtype)
        dark, bright = self._flat(images.shape[1:], dtype, low, high)
        return np.float32(low) + (images - dark) / (bright - dark) * np.float32(high - low)

    def _ends(self, shape: tuple[int, ...], dtype: str) -> tuple[int, int]:
        """The last level that is scaled as 0 is, and the first as the greatest is; these themselves
        where nothing is cut off."""
        levels = range(int(np.iinfo(dtype).max) + 1)

        def first(level: int) -> float:
            return float(self._flat(shape, dtype, level)[0].flat[0])

        dark, bright = first(0), first(levels[-1])
        low = bisect.bisect_right(levels, dark, key=first) - 1
        high = bisect.bisect_left(levels, bright, key=first)
        return (low, high) if low < high else (0, levels[-1])

    def _flat(self, shape: tuple[int, ...], dtype: str, *levels: int) -> np.ndarray:
        """Images of one level each, scaled."""
        return np.asarray(self(np.stack([np.full(shape, level, dtype) for level in levels])))


class FeaturePreprocessing(tf.Module):
    """Raw pixels (N, H, W, C) → scaled feature maps (N, h, w, K) float32."""

    def __init__(self, features: FeatureMaps, scaling: Preprocessing):
        super().__init__(name="feature_preprocessing")
        self.features, self.scaling = features, scaling

    def __call__(self, pixels: Any) -> tf.Tensor:
        """(N, H, W, C) uint8 or uint16 → (N, h, w, K) float32."""
        return self.prepared(pixels)[0]

    def prepared(self, pixels: Any) -> tuple[tf.Tensor, Mapping[str, Quantity]]:
        """The same, and the quantities `layers`, each layer's channels; `coarse_residual`, what the
        model fails to rebuild of the coarsest layers; `fine_maps`, as `FeatureMaps.fine` gives it,
        but for that of the detail layer: `detail_maps`, one or none.
        """
        maps = self.features.maps(pixels)
        return self.prepared_maps(self.features.on_grid(maps), *self.features.fine(maps))

    def prepared_maps(self, grid: Any, *fine: Any) -> tuple[tf.Tensor, Mapping[str, Quantity]]:
        """The same, of what `FeatureMaps` makes of the pixels: (N, h, w, K), and what its `fine`
        gives, all float16 or float32."""
        features, x = self.features, self.scaling(grid)
        layers = len(fine) - features.has_detail

        def exact(maps: Sequence[Any]) -> list[tf.Tensor]:
            return [tf.cast(layer, tf.float32) for layer in maps]

        return x, {
            "layers": lambda _: features.layers(x),
            "coarse_residual": lambda own: features.coarse(x - own["reconstruction"]),
            "fine_maps": lambda _: exact(fine[:layers]),
            "detail_maps": lambda _: exact(fine[layers:]),
        }
