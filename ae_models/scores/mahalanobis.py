"""The distance of a record's latent and error to those of the training records."""

import numpy as np
from keras import ops
from sklearn.covariance import LedoitWolf

from ae_models.losses import mean_squared_error
from ae_models.scores.score import Outputs, Score, Tensor

_SMALLEST_ERROR = 1e-12  # keeps the logarithm of a perfect reconstruction finite

_SMALLEST_VARIANCE = 1e-10  # keeps the covariance of records that are all alike invertible


class LatentMahalanobis(Score):
    """Mahalanobis distance of [z, log reconstruction_mse] to the training records' mean, under
    their Ledoit-Wolf shrunk covariance (scikit-learn).

    Shrinkage towards a multiple of the identity keeps a collapsed latent, which hardly varies,
    from dominating: latents are not standardised first.
    """

    name = "latent_mahalanobis"

    def __init__(self) -> None:
        self.mean: np.ndarray | None = None
        self.whitening: np.ndarray | None = None

    def features(self, x: Tensor, outputs: Outputs) -> Tensor:
        error = ops.maximum(mean_squared_error(x, outputs["reconstruction"]), _SMALLEST_ERROR)
        return ops.concatenate([outputs["latent_mean"], ops.log(error)[:, None]], axis=-1)

    def fit(self, features: np.ndarray) -> None:
        estimate = LedoitWolf().fit(features.astype(np.float64))
        covariance = estimate.covariance_ + _SMALLEST_VARIANCE * np.eye(features.shape[1])
        self.mean = estimate.location_
        self.whitening = np.linalg.cholesky(np.linalg.inv(covariance))

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        if self.mean is None or self.whitening is None:
            raise ValueError(f"{self.name} is not fitted")
        centred = self.features(x, outputs) - ops.convert_to_tensor(self.mean, "float32")
        white = ops.matmul(centred, ops.convert_to_tensor(self.whitening, "float32"))
        return ops.sqrt(ops.sum(ops.square(white), axis=-1))
