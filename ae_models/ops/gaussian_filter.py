"""A Gaussian filter of images, inside a graph."""

import numpy as np
from keras import ops
from scipy import ndimage

from ae_models.ops.constants import constant
from ae_models.ops.tensor import Tensor


def gaussian_filtered(x: Tensor, sigma: float) -> Tensor:
    """(N, H, W, C) float32 → the same shape: each channel under a Gaussian of standard deviation
    `sigma`, in pixels, edges mirrored, as `scipy.ndimage.gaussian_filter` has it."""
    _, height, width, _ = x.shape
    across = ops.einsum("ih,nhwc->niwc", _matrix(height, sigma), x)
    return ops.einsum("jw,niwc->nijc", _matrix(width, sigma), across)


def _matrix(side: int, sigma: float) -> Tensor:
    """SciPy's filter along one axis is linear: what it makes of each unit vector, (side, side).
    As a matrix it is right for images that are smaller than the filter, too."""
    filtered = ndimage.gaussian_filter1d(np.eye(side), sigma, axis=0)
    return constant(filtered)
