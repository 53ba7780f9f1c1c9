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

PIXELS = "pixels"  # the only feature in tf.Transform's graph, as input and output


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
        """The scaled images, and additional quantities for scores: none for pixels."""
        return self(pixels), {}

    def levels(self, images: Any, dtype: str) -> np.ndarray:
        """The inverse, for pixels of NumPy's type `dtype`: scaled (N, H, W, C) → pixel levels,
        float32; 0 to 255 or to 65,535 if the scaled image came from pixels, except for values that
        the scaling clipped.

        Every scaling is linear for each value between two levels, and constant beyond them.
        """
        images = np.asarray(images)
        low, high = self._ends(images.shape[1:], dtype)
        dark, bright = self._flat(images.shape[1:], dtype, low, high)
        return np.float32(low) + (images - dark) / (bright - dark) * np.float32(high - low)

    def _ends(self, shape: tuple[int, ...], dtype: str) -> tuple[int, int]:
        """The last level with the scaled value of 0, and the first with that of the greatest level;
        0 and the greatest level themselves if nothing is clipped."""
        levels = range(int(np.iinfo(dtype).max) + 1)

        def first(level: int) -> float:
            return float(self._flat(shape, dtype, level)[0].flat[0])

        dark, bright = first(0), first(levels[-1])
        low = bisect.bisect_right(levels, dark, key=first) - 1
        high = bisect.bisect_left(levels, bright, key=first)
        return (low, high) if low < high else (0, levels[-1])

    def _flat(self, shape: tuple[int, ...], dtype: str, *levels: int) -> np.ndarray:
        """Scaled images of one level each."""
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
        """The scaled maps, and the quantities `layers`, each layer's channels; `coarse_residual`,
        the part of the coarsest layers that the model fails to reconstruct; `fine_maps`, the result
        of `FeatureMaps.fine` without the detail layer's map; `detail_maps`, that map, or none.
        """
        maps = self.features.maps(pixels)
        return self.prepared_maps(self.features.on_grid(maps), *self.features.fine(maps))

    def prepared_maps(self, grid: Any, *fine: Any) -> tuple[tf.Tensor, Mapping[str, Quantity]]:
        """Like `prepared`, from the result of `FeatureMaps` for the pixels, (N, h, w, K), and that
        of its `fine`, all float16 or float32."""
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
