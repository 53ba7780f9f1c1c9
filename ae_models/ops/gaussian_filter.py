"""A Gaussian filter of images, inside a graph."""

import numpy as np
from keras import ops
from scipy import ndimage

from ae_models.ops.constants import constant
from ae_models.ops.tensor import Tensor


def gaussian_filtered(x: Tensor, sigma: float) -> Tensor:
    """(N, H, W, C) float32 → the same shape: each channel filtered by a Gaussian of standard
    deviation `sigma`, in pixels, with mirrored edges, like `scipy.ndimage.gaussian_filter`."""
    _, height, width, _ = x.shape
    across = ops.einsum("ih,nhwc->niwc", _matrix(height, sigma), x)
    return ops.einsum("jw,niwc->nijc", _matrix(width, sigma), across)


def _matrix(side: int, sigma: float) -> Tensor:
    """SciPy's filter along one axis as a matrix: its result for each unit vector, (side, side). It
    is also correct for images smaller than the filter."""
    filtered = ndimage.gaussian_filter1d(np.eye(side), sigma, axis=0)
    return constant(filtered)
