"""Gaussian noise of fixed or random strength."""

from collections.abc import Iterator
from typing import Any

import keras

from ae_models.corruptions.corruption import Corruption
from ae_models.ops.tensor import Tensor


class GaussianNoise(Corruption):
    """Adds noise of standard deviation `amount`, in scaled units.

    Values may leave [0, 1]. If the images to be restored are clipped, as the pixels of any file
    are, add `clip` after it.
    """

    family = "gaussian_noise"

    def draws(self, shape: tuple[Any, ...], seeds: Iterator[Any]) -> Tensor:
        return self.amount * keras.random.normal(shape, seed=next(seeds))

    def corrupted(self, x: Tensor, draws: Tensor) -> Tensor:
        return x + draws


class RandomGaussianNoise(GaussianNoise):
    """Adds noise whose standard deviation is uniform between 0 and `amount`, drawn per record, so
    that a denoiser trained on it does not need to know how noisy an image is."""

    family = "random_gaussian_noise"

    def draws(self, shape: tuple[Any, ...], seeds: Iterator[Any]) -> Tensor:
        strength = keras.random.uniform((shape[0], 1, 1, 1), seed=next(seeds))
        return strength * super().draws(shape, seeds)
