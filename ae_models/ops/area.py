"""Means of maps over the areas of another grid, inside a graph."""

import numpy as np
from keras import ops

from ae_models.ops.constants import constant
from ae_models.ops.tensor import Tensor


def area_resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, H, W, C) float32 → (N, h, w, C) for `size` (h, w): the mean of x over the area of each
    place of the new grid, with places of the old grid weighted by their overlap."""
    height, width, channels = x.shape[1:]
    if (height, width) == size:
        return x
    if height != size[0]:
        rows = ops.reshape(x, (-1, height, width * channels))
        x = ops.matmul(constant(area_shares(height, size[0])), rows)
    if width != size[1]:
        columns = ops.reshape(x, (-1, size[0], width, channels))
        x = ops.matmul(constant(area_shares(width, size[1])), columns)
    return ops.reshape(x, (-1, *size, channels))


def mean_over_places(x: Tensor) -> Tensor:
    """(N, H, W, C) float32 → (N, C), with bits that do not depend on a record's position in the
    batch. Those of an ordinary mean do, if channels do not fill a processor's registers evenly."""
    height, width, channels = x.shape[1:]
    shares = np.full((1, height * width), 1 / (height * width))
    means = ops.matmul(constant(shares), ops.reshape(x, (-1, height * width, channels)))
    return ops.reshape(means, (-1, channels))


def area_shares(old: int, new: int) -> np.ndarray:
    """The share of each old place in each new one along an axis, (new, old), with rows of sum 1."""
    ends = np.arange(new + 1) * (old / new)
    starts = np.arange(old)
    overlap = np.minimum(ends[1:, None], starts + 1) - np.maximum(ends[:-1, None], starts)
    return np.maximum(overlap, 0.0) / (old / new)
