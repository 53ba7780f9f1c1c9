"""How far features are from those of the training records, by a Gaussian."""

import numpy as np
from keras import ops

from ae_models.ops.scale import bounded_scale
from ae_models.ops.tensor import Tensor
from ae_models.scores.score import SMALLEST_ERROR
from ae_models.scores.whitening import Whitening

_SMALLEST_SHARE_LEFT = 1e-6  # of the covariance, without a record that it includes


class LogDistance:
    """The log of the mean, over k dimensions, of the squared Mahalanobis distance to the training
    records' mean, under their Ledoit-Wolf shrunk covariance, after scaling to equal deviations.

    Rippel et al. (2021) rank images by features of a frozen network in this way: defects are in
    directions in which normal images hardly vary; the log makes distances of different features
    comparable.

    Args:
      features: (N, k) of training records.
    """

    def __init__(self, features: np.ndarray):
        self._records, scale = len(features), bounded_scale(features)
        self._whitening = Whitening(features / scale)
        self._whitening.matrix /= scale[:, None]
        self._whitening.mean *= scale

    def __call__(self, features: Tensor) -> Tensor:
        """(N, k) float32 → (N,)."""
        squares = ops.mean(ops.square(self._whitening(features)), axis=-1)
        return ops.log(ops.maximum(squares, SMALLEST_ERROR))

    def left_out(self, features: np.ndarray) -> np.ndarray:
        """The distance of some of the records to which it is fitted, (n, k) float32, as if each had
        been left out, (n,) float32.

        Without one of N records, at d from the mean, the covariance Σ = (1 - a)·S + a·diag(S) is
        N / (N - 1)·(Σ - ((1 - a)·d·dᵀ + a·diag(d²)) / (N - 1)), if a stays. By the Sherman-Morrison
        formula, and to the first order in a, its squared distance q = dᵀ·u, u = Σ⁻¹·d,
        becomes N / (N - 1)·q / (1 - ((1 - a)·q + a·Σᵢ(uᵢ·dᵢ)² / q) / (N - 1)).
        """
        others, shrinkage = self._records - 1, self._whitening.shrinkage
        white = np.asarray(self._whitening(features), np.float64)
        squares = np.maximum(np.square(white).sum(axis=1), SMALLEST_ERROR)
        terms = (white @ self._whitening.matrix.T) * (features - self._whitening.mean)
        own = (1 - shrinkage) * squares + shrinkage * np.square(terms).sum(axis=1) / squares
        left = np.maximum(1 - own / others, _SMALLEST_SHARE_LEFT)
        without = self._records / others * squares / left
        return np.log(without / features.shape[1]).astype(np.float32)
