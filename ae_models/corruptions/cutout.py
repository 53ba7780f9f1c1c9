"""Images with a part cut out."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from ae_models.corruptions.corruption import Corruption
from ae_models.ops.tensor import Tensor


class Cutout(Corruption):
    """Sets a rectangle to zero (after DeVries and Taylor 2017, with random sides).

    Independently for each axis, with image side L: a length s uniform between `amount` · L / 2 and
    `amount` · L, and a start uniform between −s and L, so that the rectangle may extend beyond the
    border; pixels whose centre is inside it are erased.
    """

    family = "cutout"

    def draws(self, shape: tuple[Any, ...], seeds: Iterator[Any]) -> tuple[Tensor, Tensor]:
        """The rows, (N, H, 1, 1), and the columns, (N, 1, W, 1), that the rectangle spans."""
        rows = self._spanned(shape[0], shape[1], seeds)
        columns = self._spanned(shape[0], shape[2], seeds)
        return rows[:, :, None, None], columns[:, None, :, None]

    def _spanned(self, count: Any, side: int, seeds: Iterator[Any]) -> Tensor:
        """(count, side) bool."""
        lengths = keras.random.uniform((count, 1), 0.5, 1.0, seed=next(seeds))
        lengths = lengths * (self.amount * side)
        starts = keras.random.uniform((count, 1), seed=next(seeds)) * (side + lengths) - lengths
        centres = np.arange(side, dtype=np.float32) + 0.5
        return ops.logical_and(centres >= starts, centres < starts + lengths)

    def corrupted(self, x: Tensor, draws: tuple[Tensor, Tensor]) -> Tensor:
        return ops.where(ops.logical_and(*draws), ops.zeros_like(x), x)
