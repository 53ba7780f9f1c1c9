"""The linear last layer of an encoder, and of a dense decoder."""

from collections.abc import Iterator

import keras


def linear(x: keras.KerasTensor, units: int, seeds: Iterator[int]) -> keras.KerasTensor:
    """(N, ·) → (N, units): the latent, the posterior's parameters, or all values of an image."""
    initializer = keras.initializers.GlorotUniform(seed=next(seeds))
    return keras.layers.Dense(units, kernel_initializer=initializer, name="linear")(x)
