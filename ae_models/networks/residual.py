"""Residual networks: each stage of the convolutional ones, followed by a block with a shortcut."""

from collections.abc import Iterator, Sequence

import keras

from ae_models.networks.convolutional import (
    Shape,
    default_widths,
    downsample,
    linear,
    pixels,
    smallest_image,
    stage_sizes,
    upsample,
)

__all__ = ["decoder", "default_widths", "encoder"]


def encoder(
    image_shape: Shape, widths: Sequence[int], outputs: int, seeds: Iterator[int]
) -> keras.Model:
    """(N, H, W, C) → (N, outputs)."""
    image = keras.Input(image_shape)
    x = image
    for index, filters in enumerate(widths):
        x = downsample(x, filters, seeds, f"down_{index}")
        x = _block(x, seeds, f"block_{index}")
    x = keras.layers.Flatten()(x)
    return keras.Model(image, linear(x, outputs, seeds), name="encoder")


def decoder(
    image_shape: Shape, widths: Sequence[int], latent_dim: int, channels: int, seeds: Iterator[int]
) -> keras.Model:
    """(N, latent_dim) → (N, H, W, channels)."""
    sizes = stage_sizes(image_shape, len(widths))
    latent = keras.Input((latent_dim,))
    x = smallest_image(latent, sizes[-1], widths[-1], seeds)
    for index, size in reversed(list(enumerate(sizes[:-1]))):
        x = _block(x, seeds, f"block_{index}")
        x = upsample(x, widths[max(index - 1, 0)], size, seeds, f"up_{index}")
    return keras.Model(latent, pixels(x, channels, seeds), name="decoder")


def _block(x: keras.KerasTensor, seeds: Iterator[int], name: str) -> keras.KerasTensor:
    """x + f(x), with normalisation first (He et al. 2016, identity mappings).

    Normalised over the channels of each pixel, not over the batch: a record's output must not
    depend on its neighbours.
    """
    shortcut = x
    for part in ("a", "b"):
        x = keras.layers.LayerNormalization(name=f"{name}{part}_norm")(x)
        x = keras.layers.Activation("relu", name=f"{name}{part}_relu")(x)
        x = keras.layers.Conv2D(
            shortcut.shape[-1],
            3,
            padding="same",
            kernel_initializer=keras.initializers.HeNormal(seed=next(seeds)),
            name=f"{name}{part}_conv",
        )(x)
    return keras.layers.Add(name=f"{name}_add")([shortcut, x])
