"""Corruptions of a denoising auto-encoder's input: Keras layers that act in training only."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="latentbeam")
class Masking(keras.layers.Layer):
    """Sets a share of the pixels, all channels of a pixel together, to zero."""

    def __init__(self, share: float, seed: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.share = share
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x: Any, training: bool = False) -> Any:
        if not training:
            return x
        shape = (*ops.shape(x)[:-1], 1)
        kept = keras.random.uniform(shape, seed=self.seed_generator) >= self.share
        return x * ops.cast(kept, x.dtype)


def _gaussian_noise(amount: float, seed: int) -> keras.Layer:
    return keras.layers.GaussianNoise(amount, seed=seed, name="corruption")


def _masking(amount: float, seed: int) -> keras.Layer:
    return Masking(amount, seed=seed, name="corruption")


# Each factory takes the amount (a standard deviation, or a share of the pixels) and a seed.
CORRUPTIONS: dict[str, Callable[[float, int], keras.Layer]] = {
    "gaussian_noise": _gaussian_noise,
    "masking": _masking,
}


def corruption(name: str, amount: float, seeds: Iterator[int]) -> keras.Layer:
    """The named corruption as a layer: (N, H, W, C) float32 → the same shape."""
    return CORRUPTIONS[name](amount, next(seeds))
