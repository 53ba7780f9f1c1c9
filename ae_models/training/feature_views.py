"""Feature maps of images for training, including those of augmented images and of inputs from which
a corruption is to be removed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ae_models.backbones.feature_maps import FeatureMaps
from ae_models.config.steps import Step
from ae_models.corruptions.composition import build_corruption
from ae_models.ops.seeds import layer_seeds
from ae_models.training.principal_components import with_augmented


class ViewMaps(NamedTuple):
    """Maps of V views of n images.

    Attributes:
      grid: (V, n, h, w, K) float32.
      fine: for the first view, the result of `FeatureMaps.fine`, (n, h', w', C) float32 each.
    """

    grid: np.ndarray
    fine: list[np.ndarray]


class Views(NamedTuple):
    """Maps of views of images, and of their targets, or None if these are the same."""

    inputs: ViewMaps
    targets: ViewMaps | None


class FeatureViews:
    """Computes maps of images in calls of one size, so that a record's maps have the same bits in
    any batch.

    Args:
      features: computes maps of raw pixels.
      rows: the number of rows per call.
      augmentation: each step adds a changed view of all views before it, the first being the image
        itself.
      corruption: applied to the images, but not to their targets.
    """

    def __init__(
        self,
        features: FeatureMaps,
        rows: int,
        augmentation: Sequence[Step] = (),
        corruption: Sequence[Step] = (),
    ):
        self._rows, self._greatest = rows, np.float32(features.image.greatest_level)
        self._augmentation, self._corruption = augmentation, corruption
        spec = tf.TensorSpec((rows, *features.image.shape), tf.float32)

        @tf.function(input_signature=[spec], autograph=False)
        def grid_and_fine(levels: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
            maps = features.maps(levels)
            return features.on_grid(maps), features.fine(maps)

        self._features = grid_and_fine
        self.count = 1 << len(augmentation)

    def __call__(self, images: np.ndarray, targets: np.ndarray | None, seed: int) -> Views:
        """Computes the maps of up to `rows` images.

        Args:
          images: (n, H, W, C) raw pixels.
          targets: their targets, with the same shape; None: the images themselves.
          seed: for all draws.
        """
        given = [images] if targets is None else [images, targets]
        sets = with_augmented([self._unit(x) for x in given], self._augmentation, seed)
        inputs = sets[0]
        if self._corruption:
            corruption = build_corruption(self._corruption, layer_seeds(seed))
            inputs = np.asarray(corruption(inputs, training=True))
        is_paired = inputs is not sets[-1]
        return Views(self._maps(inputs), self._maps(sets[-1]) if is_paired else None)

    def _unit(self, pixels: np.ndarray) -> np.ndarray:
        return pixels.astype(np.float32) / self._greatest

    def _maps(self, images: np.ndarray) -> ViewMaps:
        parts = np.split(images * self._greatest, self.count)
        rows = len(parts[0])
        padding = [(0, self._rows - rows), *[(0, 0)] * 3]
        found = [self._features(np.pad(part, padding)) for part in parts]
        grids = [grid.numpy()[:rows] for grid, _ in found]
        return ViewMaps(np.stack(grids), [layer.numpy()[:rows] for layer in found[0][1]])
