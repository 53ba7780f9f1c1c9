"""Pixels set to white or black."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from ae_models.corruptions.corruption import Corruption
from ae_models.ops.tensor import Tensor


class SaltAndPepper(Corruption):
    """Sets a share `amount` of the pixels to 0 or to 1 with equal probability, all channels of a
    pixel alike."""

    family = "salt_and_pepper"

    def draws(self, shape: tuple[Any, ...], seeds: Iterator[Any]) -> Tensor:
        return keras.random.uniform((*shape[:-1], 1), seed=next(seeds))

    def corrupted(self, x: Tensor, draws: Tensor) -> Tensor:
        white_or_black = ops.cast(draws < 0.5 * self.amount, x.dtype)
        return ops.where(draws < self.amount, white_or_black, x)
