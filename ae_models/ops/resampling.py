"""Maps brought to another grid and smoothed, inside a graph."""

import numpy as np
from keras import ops
from scipy import ndimage

from ae_models.ops.area import area_shares
from ae_models.ops.constants import constant
from ae_models.ops.tensor import Tensor


def resampled(x: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """(N, H, W) float32 → (N, h, w) for `size` (h, w): along each axis the means over the areas of
    a coarser grid, or on a finer one straight lines between the centres of places; then under a
    Gaussian of standard deviation `sigma`, in places of the new grid, edges mirrored."""
    across = ops.einsum("ih,nhw->niw", constant(resampling(x.shape[1], size[0], sigma)), x)
    return ops.einsum("jw,niw->nij", constant(resampling(x.shape[2], size[1], sigma)), across)


def resampling(old: int, new: int, sigma: float) -> np.ndarray:
    """The matrix that does so along one axis, (new, old): rows of sum 1."""
    shares = area_shares(old, new) if new < old else _linear_shares(old, new)
    if sigma == 0.0:
        return shares
    return np.asarray(ndimage.gaussian_filter1d(shares, sigma, axis=0, mode="reflect"))


def _linear_shares(old: int, new: int) -> np.ndarray:
    """What of each place along an axis is in each centre of a finer grid, (new, old); beyond the
    outermost centres the values of these, as Pillow and TensorFlow have it."""
    centres = (np.arange(new) + 0.5) * (old / new) - 0.5
    centres = np.clip(centres, 0, old - 1)
    return np.maximum(0.0, 1.0 - np.abs(centres[:, None] - np.arange(old)))
