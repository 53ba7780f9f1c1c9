"""The base of every corruption of an image."""

import abc
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import keras
from keras import ops

from ae_models.corruptions.families import FACTS
from ae_models.ops.seeds import layer_seeds
from ae_models.ops.tensor import Tensor

# Images (N, H, W, C) → corrupted images, always in the same way.
View = Callable[[Tensor], Tensor]


class Corruption(keras.layers.Layer, abc.ABC):
    """Corrupts images (N, H, W, C) float32, scaled, in training only, each record with independent
    draws.

    The draws are separate from their application, so that `views` can apply the same ones to every
    record.

    Args:
      amount: the strength of the corruption, in the family's unit; unused by families without one.
      seed: for all draws.
    """

    family: ClassVar[str]

    def __init__(self, amount: float, seed: int):
        super().__init__(name=self.family)
        self.amount = amount
        self.built = True
        self.seed_generator = keras.random.SeedGenerator(seed)
        self._seed = seed

    @abc.abstractmethod
    def draws(self, shape: tuple[Any, ...], seeds: Iterator[Any]) -> Any:
        """The random part of corrupting images of the shape (N, H, W, C); each random operation
        takes the next seed, an int or a SeedGenerator."""

    @abc.abstractmethod
    def corrupted(self, x: Tensor, draws: Any) -> Tensor:
        """Images (N, H, W, C) corrupted by `draws` for N records, or by one that applies to all."""

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        if not training:
            return x
        return self.corrupted(x, self.draws(ops.shape(x), itertools.repeat(self.seed_generator)))

    def views(self, image_shape: tuple[int, int, int]) -> list[View]:
        """A fixed number of ways to corrupt images of a shape (H, W, C), the same for every record
        and at every call: by default, from draws of the seed."""
        seeds = itertools.islice(layer_seeds(self._seed), FACTS[self.family].most_views)
        return [functools.partial(self._view, (1, *image_shape), seed) for seed in seeds]

    def _view(self, shape: tuple[int, ...], seed: int, x: Tensor) -> Tensor:
        return self.corrupted(x, self.draws(shape, layer_seeds(seed)))


class FixedCorruption(Corruption):
    """A corruption without randomness, which has one view."""

    def draws(self, shape: tuple[Any, ...], seeds: Iterator[Any]) -> None:
        del shape, seeds
