"""Resamples maps to another grid and smooths them, inside a graph."""

import numpy as np
from keras import ops
from scipy import ndimage

from ae_models.ops.area import area_shares
from ae_models.ops.constants import constant
from ae_models.ops.tensor import Tensor


def resampled(x: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """(N, H, W) float32 → (N, h, w) for `size` (h, w): along each axis means over the areas of a
    coarser grid, or linear interpolation between centres on a finer one; then filtered by a
    Gaussian of standard deviation `sigma`, in places of the new grid, with mirrored edges."""
    across = ops.einsum("ih,nhw->niw", constant(resampling(x.shape[1], size[0], sigma)), x)
    return ops.einsum("jw,niw->nij", constant(resampling(x.shape[2], size[1], sigma)), across)


def resampling(old: int, new: int, sigma: float) -> np.ndarray:
    """The matrix of `resampled` along one axis, (new, old), with rows of sum 1."""
    shares = area_shares(old, new) if new < old else _linear_shares(old, new)
    if sigma == 0.0:
        return shares
    return np.asarray(ndimage.gaussian_filter1d(shares, sigma, axis=0, mode="reflect"))


def _linear_shares(old: int, new: int) -> np.ndarray:
    """The weight of each old place at each centre of a finer grid along an axis, (new, old); beyond
    the outermost centres their values apply, as in Pillow and TensorFlow."""
    centres = (np.arange(new) + 0.5) * (old / new) - 0.5
    centres = np.clip(centres, 0, old - 1)
    return np.maximum(0.0, 1.0 - np.abs(centres[:, None] - np.arange(old)))
