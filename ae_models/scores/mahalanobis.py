"""The distance of a record's latent and error to those of the training records."""

import numpy as np
from keras import ops
from sklearn.covariance import LedoitWolf

from ae_models.losses import mean_squared_error
from ae_models.scores.score import Outputs, Score, Tensor

_SMALLEST_ERROR = 1e-12  # keeps the logarithm of a perfect reconstruction finite


class LatentMahalanobis(Score):
    """Mahalanobis distance of [z, log reconstruction_mse] to the training records' mean, under
    their Ledoit-Wolf shrunk covariance (scikit-learn), of the standardised features."""

    name = "latent_mahalanobis"

    def __init__(self) -> None:
        self.mean: np.ndarray | None = None
        self.whitening: np.ndarray | None = None

    def features(self, x: Tensor, outputs: Outputs) -> Tensor:
        error = ops.maximum(mean_squared_error(x, outputs["reconstruction"]), _SMALLEST_ERROR)
        return ops.concatenate([outputs["latent_mean"], ops.log(error)[:, None]], axis=-1)

    def fit(self, features: np.ndarray) -> None:
        features = features.astype(np.float64)
        scale = features.std(axis=0)
        # A latent that never varies says nothing; standardising first lets shrinkage treat a
        # small latent and a large log error alike.
        inverse_scale = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 1e-8)
        self.mean = features.mean(axis=0)
        estimate = LedoitWolf(assume_centered=True).fit((features - self.mean) * inverse_scale)
        self.whitening = inverse_scale[:, None] * np.linalg.cholesky(estimate.precision_)

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        if self.mean is None or self.whitening is None:
            raise ValueError(f"{self.name} is not fitted")
        centred = self.features(x, outputs) - ops.convert_to_tensor(self.mean, "float32")
        white = ops.matmul(centred, ops.convert_to_tensor(self.whitening, "float32"))
        return ops.sqrt(ops.sum(ops.square(white), axis=-1))
