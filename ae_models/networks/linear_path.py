"""A linear path in parallel to an auto-encoder's networks, initialised as principal components."""

from typing import Any

import keras
import numpy as np
from keras import ops

from ae_models.networks import NETWORKS
from ae_models.ops.tensor import Tensor

_PATH = "linear_path"
# The networks' outputs are scaled down beside it, because their first steps, before they have a
# direction, would undo it.
_OF_LATENT, _OF_IMAGE = 0.01, 0.03
_LEAST_SCALE = 1e-4  # of codes, which for identical images are only rounding
_ENTRIES = 0.2  # the initial magnitude of a linear path's entries


class LinearPath(keras.layers.Layer):
    """scale · x·W + b, for x (N, D) → (N, units). The entries of W start at about 0.2, so that an
    optimiser's step is the same share of them, however large D is; the rest is in the scale, which
    is not trained (an "equalized learning rate", Karras et al. 2018)."""

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self._units = units

    def build(self, shape: tuple[Any, ...]) -> None:
        self.kernel = self.add_weight(
            shape=(shape[-1], self._units), initializer="zeros", name="kernel"
        )
        self.bias = self.add_weight(shape=(self._units,), initializer="zeros", name="bias")
        self.scale = self.add_weight(shape=(), initializer="ones", trainable=False, name="scale")

    def call(self, x: Tensor) -> Tensor:
        return ops.matmul(x, self.kernel) * ops.cast(self.scale, self.compute_dtype) + self.bias

    def start_at(self, matrix: np.ndarray, bias: np.ndarray) -> None:
        """Sets the path to x·matrix + bias, with shapes (D, units) and (units,)."""
        scale = float(np.sqrt(np.mean(np.square(matrix, dtype=np.float64)))) / _ENTRIES or 1.0
        self.kernel.assign(matrix / scale)
        self.scale.assign(scale)
        self.bias.assign(bias)


def encoder_beside(encoder: keras.Model) -> keras.Model:
    """(N, H, W, C) → (N, d): the encoder's output plus a linear function of the image."""
    image, latent = encoder.inputs[0], keras.layers.Rescaling(_OF_LATENT)(encoder.outputs[0])
    linear = LinearPath(latent.shape[-1], name=_PATH)(keras.layers.Flatten()(image))
    return keras.Model(image, keras.layers.Add()([latent, linear]), name=encoder.name)


def decoder_beside(decoder: keras.Model) -> keras.Model:
    """(N, d) → (N, H, W, C): the decoder's output plus a linear function of the latent."""
    latent, image = decoder.inputs[0], keras.layers.Rescaling(_OF_IMAGE)(decoder.outputs[0])
    shape = image.shape[1:]
    linear = LinearPath(int(np.prod(shape)), name=_PATH)(latent)
    linear = keras.layers.Reshape(shape)(linear)
    return keras.Model(latent, keras.layers.Add()([image, linear]), name=decoder.name)


def start_at(
    network: str,
    encoder: keras.Model,
    decoder: keras.Model,
    *,
    mean: np.ndarray,
    components: np.ndarray,
    images: np.ndarray,
    targets: np.ndarray,
) -> None:
    """Sets the path to encode the images' principal components and to decode codes to the targets
    by least squares; the networks in parallel add nothing yet.

    Args:
      network: the architecture's name.
      mean: the images' mean, (D,).
      components: orthonormal rows, (k, D), k at most d. Further latents start at 0.
      images, targets: the data to which the path is fitted, (N, H, W, C).
    """
    flat, wanted = (np.reshape(x, (len(x), -1)) for x in (images, targets))
    codes = (flat - mean) @ components.T
    scale = max(_LEAST_SCALE, float(np.sqrt(np.mean(np.square(codes)))))
    codes /= scale  # one scale for all latents, so that their distances are those of the images
    d, values = encoder.output_shape[-1], flat.shape[1]
    into = np.zeros((values, d), np.float32)
    into[:, : len(components)] = components.T / scale
    encoder.get_layer(_PATH).start_at(into, -(mean @ into))
    middle = wanted.mean(axis=0)
    variances = np.square(codes, dtype=np.float64).sum(axis=0)  # codes are uncorrelated
    out = np.zeros((d, wanted.shape[1]), np.float32)
    known = variances > 0
    out[: len(components)][known] = (codes.T @ (wanted - middle))[known] / variances[known, None]
    decoder.get_layer(_PATH).start_at(out, middle)
    NETWORKS[network].start_at(decoder, np.zeros(decoder.output_shape[1:], np.float32))
    for model, name in ((encoder, "linear"), (decoder, NETWORKS[network].LAST_LAYER)):
        layer = model.get_layer(name)
        layer.kernel.assign(ops.zeros_like(layer.kernel))
