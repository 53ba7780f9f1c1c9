"""Convolutional networks: strided convolutions with nothing between them."""

from collections.abc import Iterator, Sequence

import keras

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
        image_shape, widths, outputs, activation=activation, seeds=seeds, block=_no_block
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
        block=_no_block,
    )


def _no_block(
    x: keras.KerasTensor, activation: str, seeds: Iterator[int], name: str
) -> keras.KerasTensor:
    del activation, seeds, name
    return x
