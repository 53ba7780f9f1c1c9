"""Missing pixels or channels."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from ae_models.corruptions.corruption import Corruption
from ae_models.ops.tensor import Tensor


class Masking(Corruption):
    """Sets a share `amount` of the pixels to zero, with all channels of a pixel."""

    family = "masking"

    def draws(self, shape: tuple[Any, ...], seeds: Iterator[Any]) -> Tensor:
        return keras.random.uniform((*shape[:-1], 1), seed=next(seeds)) >= self.amount

    def corrupted(self, x: Tensor, draws: Tensor) -> Tensor:
        return x * ops.cast(draws, x.dtype)


class ChannelMasking(Masking):
    """Sets a share `amount` of the channels to zero, each across the entire image."""

    family = "channel_masking"

    def draws(self, shape: tuple[Any, ...], seeds: Iterator[Any]) -> Tensor:
        drawn = keras.random.uniform((shape[0], 1, 1, shape[-1]), seed=next(seeds))
        return drawn >= self.amount
