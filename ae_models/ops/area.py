"""Means of maps over the areas of another grid, inside a graph."""

import numpy as np
from keras import ops

from ae_models.ops.constants import constant
from ae_models.ops.tensor import Tensor


def area_resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, H, W, C) float32 → (N, h, w, C) for `size` (h, w): the mean of x over the area of each
    place of the new grid, which places of the old one share by how much of them lies in it."""
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
    """(N, H, W, C) float32 → (N, C), the same bits of a record wherever in the batch it is: those
    of a mean depend on that, where channels fill no whole number of a processor's registers."""
    height, width, channels = x.shape[1:]
    shares = np.full((1, height * width), 1 / (height * width))
    means = ops.matmul(constant(shares), ops.reshape(x, (-1, height * width, channels)))
    return ops.reshape(means, (-1, channels))


def area_shares(old: int, new: int) -> np.ndarray:
    """What of each place along an axis lies in each of a new grid's, (new, old), rows of sum 1."""
    ends = np.arange(new + 1) * (old / new)
    starts = np.arange(old)
    overlap = np.minimum(ends[1:, None], starts + 1) - np.maximum(ends[:-1, None], starts)
    return np.maximum(overlap, 0.0) / (old / new)
