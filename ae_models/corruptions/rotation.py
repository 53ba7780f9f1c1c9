"""Images rotated by right angles."""

import functools
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from ae_models.corruptions.corruption import Corruption, View
from ae_models.ops.tensor import Tensor


class Rotation(Corruption):
    """Rotates each image counter-clockwise by k · 90°, k from 0 to 3 with equal probability,
    including 0° (ARNet, Fei et al. 2020); images that are not square by 0° or 180°, which keep
    their shape."""

    family = "rotation"

    def draws(self, shape: tuple[Any, ...], seeds: Iterator[Any]) -> Tensor:
        """The index of each record's rotation, (N, 1, 1, 1)."""
        turns = _turns(shape[1], shape[2])
        return keras.random.randint((shape[0], 1, 1, 1), 0, len(turns), seed=next(seeds))

    def corrupted(self, x: Tensor, draws: Tensor) -> Tensor:
        result = x
        for index, k in enumerate(_turns(*x.shape[1:3])):
            result = ops.where(draws == index, _turned(k, x), result)
        return result

    def views(self, image_shape: tuple[int, int, int]) -> list[View]:
        """Each rotation once."""
        return [functools.partial(_turned, k) for k in _turns(*image_shape[:2])]


def _turns(height: int, width: int) -> tuple[int, ...]:
    return (0, 1, 2, 3) if height == width else (0, 2)


def _turned(k: int, x: Tensor) -> Tensor:
    # Keras' own rot90 loses the static shape in a graph.
    if k % 2:
        x = ops.flip(ops.transpose(x, (0, 2, 1, 3)), axis=1)
    return ops.flip(x, axis=(1, 2)) if k >= 2 else x
