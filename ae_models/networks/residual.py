"""Residual networks: the stages of the convolutional ones, each with a residual block."""

from collections.abc import Iterator, Sequence

import keras

from ae_models.networks.layers import hidden_initializer
from ae_models.networks.stages import (
    LAST_LAYER,
    Shape,
    default_widths,
    staged_decoder,
    staged_encoder,
    start_at,
)

__all__ = ["LAST_LAYER", "decoder", "default_widths", "encoder", "start_at"]


def encoder(
    image_shape: Shape,
    widths: Sequence[int],
    outputs: int,
    *,
    activation: str,
    seeds: Iterator[int],
) -> keras.Model:
    """(N, H, W, C) → (N, outputs)."""
    return staged_encoder(
        image_shape, widths, outputs, activation=activation, seeds=seeds, block=_block
    )


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
    return staged_decoder(
        image_shape,
        widths,
        latent_dim,
        channels=channels,
        activation=activation,
        seeds=seeds,
        block=_block,
    )


def _block(
    x: keras.KerasTensor, activation: str, seeds: Iterator[int], name: str
) -> keras.KerasTensor:
    """x + f(x), with normalisation first (He et al. 2016, identity mappings).

    Normalised over the channels of each pixel rather than over the batch, since a record's output
    must not depend on its neighbours.
    """
    shortcut = x
    for part in ("a", "b"):
        x = keras.layers.LayerNormalization(name=f"{name}{part}_norm")(x)
        x = keras.layers.Activation(activation, name=f"{name}{part}_activation")(x)
        x = keras.layers.Conv2D(
            shortcut.shape[-1],
            3,
            padding="same",
            kernel_initializer=hidden_initializer(activation, next(seeds)),
            name=f"{name}{part}_conv",
        )(x)
    return keras.layers.Add(name=f"{name}_add")([shortcut, x])
