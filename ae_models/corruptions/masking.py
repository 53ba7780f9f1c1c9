"""Pixels that are missing."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from ae_models.corruptions.corruption import Corruption
from ae_models.ops.tensor import Tensor


class Masking(Corruption):
    """Sets a share `amount` of the pixels, all channels of a pixel together, to zero."""

    family = "masking"

    def draws(self, shape: tuple[Any, ...], seeds: Iterator[Any]) -> Tensor:
        return keras.random.uniform((*shape[:-1], 1), seed=next(seeds)) >= self.amount

    def corrupted(self, x: Tensor, draws: Tensor) -> Tensor:
        return x * ops.cast(draws, x.dtype)
