"""Fully connected networks."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from ae_models.networks.layers import activated, hidden_initializer, linear, units_before

Shape = tuple[int, int, int]
LAST_LAYER = "linear"  # of the decoder


def default_widths(image_shape: Shape) -> tuple[int, ...]:
    """Hidden units from the image to the latent."""
    del image_shape  # the input layer already grows with the image
    return (256, 64)


def encoder(
    image_shape: Shape,
    widths: Sequence[int],
    outputs: int,
    *,
    activation: str,
    seeds: Iterator[int],
) -> keras.Model:
    """(N, H, W, C) → (N, outputs)."""
    image = keras.Input(image_shape)
    hidden = _hidden(keras.layers.Flatten()(image), widths, activation, seeds)
    return keras.Model(image, linear(hidden, outputs, seeds), name="encoder")


def decoder(
    image_shape: Shape,
    widths: Sequence[int],
    latent_dim: int,
    *,
    channels: int,
    activation: str,
    seeds: Iterator[int],
) -> keras.Model:
    """(N, latent_dim) → (N, H, W, channels)."""
    height, width, _ = image_shape
    latent = keras.Input((latent_dim,))
    hidden = _hidden(latent, list(reversed(widths)), activation, seeds)
    flat = linear(hidden, height * width * channels, seeds)
    image = keras.layers.Reshape((height, width, channels))(flat)
    return keras.Model(latent, image, name="decoder")


def start_at(decoder: keras.Model, image: Any) -> None:
    """Centres the decoder's outputs on `image`, (H, W, channels)."""
    decoder.get_layer(LAST_LAYER).bias.assign(keras.ops.reshape(image, (-1,)))


def _hidden(
    x: keras.KerasTensor, widths: Sequence[int], activation: str, seeds: Iterator[int]
) -> keras.KerasTensor:
    for index, units in enumerate(widths):
        x = keras.layers.Dense(
            units_before(activation, units),
            kernel_initializer=hidden_initializer(activation, next(seeds)),
            name=f"hidden_{index}",
        )(x)
        x = activated(x, activation, f"hidden_{index}_activation")
    return x
