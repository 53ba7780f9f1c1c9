"""How far features lie from those of the training records, by a Gaussian."""

import numpy as np
from keras import ops

from ae_models.ops.tensor import Tensor
from ae_models.scores.score import SMALLEST_ERROR
from ae_models.scores.whitening import Whitening

_SMALLEST_SHARE, _SMALLEST_SCALE = 0.01, 1e-6


def bounded_scale(features: np.ndarray) -> np.ndarray:
    """The standard deviations of (N, k) features, but at least a hundredth of their mean: one that
    hardly varies in training records is not all that counts where it does."""
    scale = features.std(axis=0, dtype=np.float64)
    return np.maximum(scale, max(_SMALLEST_SHARE * float(scale.mean()), _SMALLEST_SCALE))


class LogDistance:
    """The log of the mean, over k dimensions, of the squared Mahalanobis distance to the training
    records' mean, under their Ledoit-Wolf shrunk covariance, all of one standard deviation first.

    As Rippel et al. (2021) rank images by features of a frozen network, by defects in directions
    in which normal images hardly vary; the log makes distances of different features comparable.

    Args:
      features: (N, k) of training records.
    """

    def __init__(self, features: np.ndarray):
        scale = bounded_scale(features)
        self._whitening = Whitening(features / scale)
        self._whitening.matrix /= scale[:, None]
        self._whitening.mean *= scale

    def __call__(self, features: Tensor) -> Tensor:
        """(N, k) float32 → (N,)."""
        squares = ops.mean(ops.square(self._whitening(features)), axis=-1)
        return ops.log(ops.maximum(squares, SMALLEST_ERROR))
