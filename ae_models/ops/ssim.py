"""The structural similarity of images, as a distance."""

import numpy as np
from keras import ops
from scipy.signal import windows

from ae_models.ops.constants import constant
from ae_models.ops.tensor import Tensor

_TAPS, _SIGMA = 11, 1.5
_LUMINANCE, _CONTRAST = 0.01**2, 0.03**2  # C1 and C2, for a range of 1


def structural_dissimilarity(x: Tensor, y: Tensor) -> Tensor:
    """1 − SSIM of images between 0 and 1, (N, H, W, C), (N, H, W, C) → (N,), from 0 to 2 (Wang et
    al. 2004).

    Means, variances and the covariance are weighted by a Gaussian window (σ 1.5, 11 taps); an axis
    shorter than that uses the greatest odd number of taps that fits. The mean is over all windows
    within the image, and over the channels.

    SSIM is l·s. Subtracting that from 1 would leave only rounding for a good reconstruction. With
    d = x − y, 1 − l and 1 − s are instead fractions with the numerators mean(d)² and var(d).
    """
    difference = x - y
    moments = ops.concatenate([x, y, x * x + y * y, difference, difference * difference], axis=-1)
    rows, columns = _window(x.shape[1])[:, None], _window(x.shape[2])[None, :]
    moments = _weighed(_weighed(moments, rows), columns)
    mean_x, mean_y, mean_squares, mean_d, mean_dd = ops.split(moments, 5, axis=-1)
    squares = ops.square(mean_x) + ops.square(mean_y)
    luminance = ops.square(mean_d) / (squares + _LUMINANCE)
    structure = (mean_dd - ops.square(mean_d)) / (mean_squares - squares + _CONTRAST)
    return ops.mean(luminance + structure - luminance * structure, axis=(1, 2, 3))


def _window(side: int) -> np.ndarray:
    """The weights along an axis of `side` pixels."""
    window = windows.gaussian(min(_TAPS, side - (side + 1) % 2), _SIGMA)
    return window / window.sum()


def _weighed(maps: Tensor, window: np.ndarray) -> Tensor:
    """Means over each window, (h, w), of maps: (N, H, W, K) → (N, H − h + 1, W − w + 1, K)."""
    kernel = np.broadcast_to(window[:, :, None, None], (*window.shape, maps.shape[-1], 1))
    return ops.depthwise_conv(maps, constant(kernel))
