"""Raw pixels to the maps of a frozen network: the input of models that rebuild features."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from keras import ops

from ae_models.backbones.registry import open_backbone
from ae_models.config.configuration import ImageConfig
from ae_models.config.features import FeaturesConfig
from ae_models.errors import ConfigError, InputError
from ae_models.ops.area import area_resized
from ae_models.ops.tensor import Tensor

_GREATEST_LEVEL = 255.0  # of what networks take


class FeatureMaps(tf.Module):
    """A function of raw pixels, (N, H, W, C) uint8 or uint16 → (N, h, w, K) float32: the maps of
    the chosen layers, in the order of the network, brought to one grid by means over areas.

    Grey becomes three equal channels, and alpha is left out.

    Args:
      config: names a backbone.
      image: the shape and bits of the pixels.

    Attributes:
      image: what the pixels are.
      origin: of the network.
      shape: (h, w, K).
      widths: how many channels each layer has, in their order.

    Raises:
      ConfigError, InputError: the backbone cannot be had, or does not take such images.
    """

    def __init__(self, config: FeaturesConfig, image: ImageConfig):
        super().__init__(name="features")
        if config.backbone is None:
            raise ConfigError(f"features.backbone is not known yet. Received: {config}")
        self.image, self._greatest = image, float(image.greatest_level)
        backbone = open_backbone(config.backbone, image.shape[:2], config.layers)
        self.origin, self._maps, self._layers = backbone.origin, backbone.maps, backbone.layers
        self.variables_held = list(backbone.variables)  # tracked: a SavedModel has them
        maps = self._traced(image)
        grids = [(height, width) for _, height, width, _ in maps if (height, width) != (1, 1)]
        coarsest = min(grids, default=(1, 1))
        self._grid = coarsest if config.pool is None else (config.pool, config.pool)
        self.widths = tuple(shape[3] for shape in maps)
        self.shape: tuple[int, int, int] = (*self._grid, sum(self.widths))

    def _traced(self, image: ImageConfig) -> list[tuple[int, ...]]:
        """The shapes of the layers' maps."""
        spec = tf.TensorSpec((2, *image.shape[:2], 3), tf.float32)
        found = tf.function(lambda x: [self._maps(x)[name] for name in self._layers])
        outputs: Sequence[tf.TensorSpec] = found.get_concrete_function(spec).structured_outputs
        return [tuple(output.shape) for output in outputs]

    def __call__(self, pixels: Tensor) -> Tensor:
        """(N, H, W, C) uint8 or uint16, or levels as these have, float32 → (N, h, w, K) float32."""
        levels = tf.cast(pixels, tf.float32) * (_GREATEST_LEVEL / self._greatest)
        channels = levels.shape[-1]
        colour = levels[..., :3] if channels >= 3 else ops.repeat(levels[..., :1], 3, axis=-1)
        maps = self._maps(colour)
        return ops.concatenate(
            [area_resized(maps[name], self._grid) for name in self._layers], axis=-1
        )

    def check_finite(self) -> None:
        """Raises InputError where the network gives what is no number, of black, grey or noise."""
        shape = self.image.shape
        noise = np.random.default_rng(0).integers(0, self.image.greatest_level, shape)
        levels = [np.zeros(shape), np.full(shape, self._greatest // 2), noise]
        found = np.asarray(self(np.stack(levels).astype(self.image.dtype)))
        if not np.isfinite(found).all():
            raise InputError(
                f"features.backbone {self.origin.backbone!r} gives features that are no finite "
                f"numbers, of images {shape}"
            )
