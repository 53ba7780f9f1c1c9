"""Means of maps over the areas of another grid, inside a graph."""

import numpy as np
from keras import ops

from ae_models.ops.constants import constant
from ae_models.ops.tensor import Tensor


def area_resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, H, W, C) float32 → (N, h, w, C) for `size` (h, w): the mean of x over the area of each
    place of the new grid, which places of the old one share by how much of them lies in it."""
    for axis, side in zip((1, 2), size, strict=True):
        if x.shape[axis] != side:
            shares = constant(area_shares(x.shape[axis], side))
            x = ops.einsum("ih,nhwc->niwc" if axis == 1 else "jw,nhwc->nhjc", shares, x)
    return x


def area_shares(old: int, new: int) -> np.ndarray:
    """What of each place along an axis lies in each of a new grid's, (new, old), rows of sum 1."""
    ends = np.arange(new + 1) * (old / new)
    starts = np.arange(old)
    overlap = np.minimum(ends[1:, None], starts + 1) - np.maximum(ends[:-1, None], starts)
    return np.maximum(overlap, 0.0) / (old / new)
