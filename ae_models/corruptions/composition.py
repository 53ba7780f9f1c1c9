"""Corruptions applied in sequence."""

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence

import keras

from ae_models.config.steps import Step
from ae_models.corruptions.corruption import Corruption, View
from ae_models.corruptions.families import CORRUPTIONS
from ae_models.ops.tensor import Tensor


class Composition(keras.layers.Layer):
    """Applies its steps from left to right, in training only; without steps, x is unchanged."""

    def __init__(self, steps: Sequence[Corruption]):
        super().__init__(name="corruption")
        self.steps = list(steps)
        self.built = True

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        for step in self.steps:
            x = step(x, training=training)
        return x

    def views(self, image_shape: tuple[int, int, int]) -> list[View]:
        """Every combination of one view of each step, for images (H, W, C)."""
        combinations = itertools.product(*(step.views(image_shape) for step in self.steps))
        return [functools.partial(_in_turn, views) for views in combinations]


def _in_turn(views: Sequence[View], x: Tensor) -> Tensor:
    for view in views:
        x = view(x)
    return x


def build_corruption(steps: Iterable[Step], seeds: Iterator[int]) -> Composition:
    """Builds one layer from the steps: (N, H, W, C) float32 → the same shape."""
    return Composition([CORRUPTIONS[name](amount, next(seeds)) for name, amount in steps])
