"""Raw pixels to the maps of a frozen network, the input of models that reconstruct features."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from keras import ops

from ae_models.backbones.registry import open_backbone
from ae_models.config.configuration import ImageConfig
from ae_models.config.features import FeaturesConfig
from ae_models.errors import ConfigError, InputError, LatentbeamError
from ae_models.ops.area import area_resized
from ae_models.ops.parts import split_by_widths
from ae_models.ops.tensor import Tensor

_GREATEST_LEVEL = 255.0  # in a network's input
_MOST_CHANNELS = 4
_VECTOR = (1, 1)  # the size of a feature that describes the entire image


class FeatureMaps(tf.Module):
    """A function of raw pixels, (N, H, W, C) uint8 or uint16 → (N, h, w, K) float32: the maps of
    the chosen layers, in the order of the network, area-averaged to one grid.

    Grey becomes three equal channels, and alpha is dropped.

    Args:
      config: names a backbone.
      image: the shape and bit depth of the pixels.

    Attributes:
      image: the shape and bit depth of the pixels.
      origin: the network's provenance.
      shape: (h, w, K).
      widths: the number of channels of each layer, in order.
      fine_shapes: (h, w, C) of each map that `fine` returns.
      has_detail: whether the last of these is the detail layer's.

    Raises:
      ConfigError, InputError: the backbone is unavailable, or does not accept such images.
    """

    def __init__(self, config: FeaturesConfig, image: ImageConfig):
        super().__init__(name="features")
        if config.backbone is None:
            raise ConfigError(f"features.backbone is not chosen yet. Received: {config}")
        if image.shape[2] > _MOST_CHANNELS:
            raise ConfigError(
                f"features.backbone {config.backbone!r} accepts grey or colour images, with or "
                f"without alpha. Received: images of {image.shape[2]} channels"
            )
        self.image, self._greatest = image, float(image.greatest_level)
        try:
            backbone = open_backbone(config.backbone, image.shape[:2], config.layers, config.detail)
            self.origin, self._layers = backbone.origin, backbone.layers
            self.has_detail = backbone.detail is not None
            self._all = (*self._layers, *([backbone.detail] if backbone.detail else []))
            self._network = backbone.maps
            self.variables_held = list(backbone.variables)  # tracked, so that a SavedModel has them
            # Traced once: every graph that uses the features calls this one.
            spec = tf.TensorSpec((None, *self.image.shape[:2], 3), tf.float32)
            self._maps = tf.function(backbone.maps, input_signature=[spec], autograph=False)
            shapes = self._shapes()
        except LatentbeamError:
            raise
        except Exception as error:  # Keras and TensorFlow raise anything for an unusable network
            reason = " ".join(str(error).split())
            raise InputError(
                f"features.backbone {config.backbone!r} cannot be used on images of {image.shape}: "
                f"{reason}"
            ) from error
        sizes = [(height, width) for _, height, width, _ in shapes][: len(self._layers)]
        coarsest = min((size for size in sizes if size != _VECTOR), default=_VECTOR)
        self._grid = coarsest if config.pool is None else (config.pool, config.pool)
        self._coarse = [index for index, size in enumerate(sizes) if size <= coarsest]
        # If all have the same size, that size also serves as the fine one.
        finer = [index for index in range(len(sizes)) if index not in self._coarse]
        self._fine = finer or [index for index, size in enumerate(sizes) if size == coarsest]
        if self.has_detail:
            self._fine.append(len(self._layers))
        self.fine_shapes = [shapes[index][1:] for index in self._fine]
        self.widths = tuple(shape[3] for shape in shapes[: len(self._layers)])
        self.shape: tuple[int, int, int] = (*self._grid, sum(self.widths))

    def _shapes(self) -> list[tuple[int, ...]]:
        """The shapes of what `maps` returns."""
        outputs: Mapping[str, tf.TensorSpec] = self._maps.get_concrete_function().structured_outputs
        return [tuple(outputs[name].shape) for name in self._all]

    def __call__(self, pixels: Tensor) -> Tensor:
        """(N, H, W, C) uint8 or uint16, or such levels as float32 → (N, h, w, K) float32."""
        return self.on_grid(self.maps(pixels))

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """The maps of each layer, followed by that of the detail layer, if there is one,
        (N, h, w, C) float32, as the network computes them."""
        found = self._maps(self._colour(pixels))
        return [found[name] for name in self._all]

    def _colour(self, pixels: Tensor) -> Tensor:
        """(N, H, W, 3) float32, 0 to 255."""
        levels = tf.cast(pixels, tf.float32)
        if self._greatest != _GREATEST_LEVEL:
            levels *= _GREATEST_LEVEL / self._greatest
        channels = levels.shape[-1]
        return levels[..., :3] if channels >= 3 else ops.repeat(levels[..., :1], 3, axis=-1)

    def on_grid(self, maps: Sequence[Tensor]) -> Tensor:
        """The result of `maps` on one grid: (N, h, w, K)."""
        layers = maps[: len(self._layers)]
        return ops.concatenate([area_resized(each, self._grid) for each in layers], axis=-1)

    def fine(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """From the result of `maps`, the maps finer than the coarsest one, or, if there are none,
        all but vectors; and that of the detail layer."""
        return [maps[index] for index in self._fine]

    def layers(self, x: Tensor) -> list[Tensor]:
        """Splits features on the grid, (N, h, w, K), into the channels of each layer."""
        return split_by_widths(x, self.widths)

    def coarse(self, x: Tensor) -> Tensor:
        """From features on the grid, the channels of layers no finer than the coarsest one."""
        layers = self.layers(x)
        return ops.concatenate([layers[index] for index in self._coarse], axis=-1)

    def probe(self) -> list[np.ndarray]:
        """The maps of a black image, a grey image and noise, (3, h, w, C) float32 each.

        Raises:
          InputError: the network returns values that are not finite.
        """
        shape = self.image.shape
        noise = np.random.default_rng(0).integers(0, self.image.greatest_level, shape)
        levels = [np.zeros(shape), np.full(shape, self._greatest // 2), noise]
        # Not through the graph: an operation that fuses convolution and ReLU may turn NaN into 0.
        found = self._network(self._colour(np.stack(levels).astype(self.image.dtype)))
        maps = [np.asarray(found[name]) for name in self._all]
        if not all(np.isfinite(layer).all() for layer in maps):
            raise InputError(
                f"features.backbone {self.origin.backbone!r} returns features that are not finite "
                f"for images of {shape}"
            )
        return maps
