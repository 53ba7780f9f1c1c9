"""Transforms features of records to the training records' mean 0 and covariance I."""

import numpy as np
from keras import ops

from ae_models.ops.constants import constant
from ae_models.ops.tensor import Tensor

_SMALLEST_VARIANCE = 1e-10  # keeps the covariance of identical records invertible


class Whitening:
    """x → (x − mean)·W, where W·Wᵀ is the inverse of the Ledoit-Wolf shrunk covariance
    (scikit-learn).

    Shrinkage towards a multiple of the identity keeps a collapsed latent, which hardly varies,
    from dominating: features are not standardised first.
    """

    def __init__(self, features: np.ndarray):
        """Fits to (N, k) features of training records."""
        from sklearn.covariance import LedoitWolf  # noqa: PLC0415 - scoring never fits

        estimate = LedoitWolf().fit(features.astype(np.float64))
        covariance = estimate.covariance_ + _SMALLEST_VARIANCE * np.eye(features.shape[1])
        self.mean, self.shrinkage = estimate.location_, float(estimate.shrinkage_)
        self.matrix = np.linalg.cholesky(np.linalg.inv(covariance))

    def __call__(self, features: Tensor) -> Tensor:
        """(N, k) → (N, k), float32."""
        centred = features - constant(self.mean)
        return ops.matmul(centred, constant(self.matrix))
