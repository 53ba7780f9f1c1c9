"""The distance of a record's latent and error to those of the training records."""

import numpy as np
from keras import ops

from ae_models.losses.losses import mean_squared_error
from ae_models.ops.tensor import Tensor
from ae_models.scores.score import SMALLEST_MAHALANOBIS_ERROR, Outputs, Score
from ae_models.scores.whitening import Whitening


class LatentMahalanobis(Score):
    """Mahalanobis distance of [z, log reconstruction_mse] to the training records' mean, under
    their Ledoit-Wolf shrunk covariance (scikit-learn)."""

    name = "latent_mahalanobis"
    resolution = 1e-5  # standard deviations

    def __init__(self) -> None:
        self._whitening: Whitening | None = None

    def features(self, x: Tensor, outputs: Outputs) -> Tensor:
        error = ops.maximum(
            mean_squared_error(x, outputs["reconstruction"]), SMALLEST_MAHALANOBIS_ERROR
        )
        return ops.concatenate([outputs["latent_mean"], ops.log(error)[:, None]], axis=-1)

    def fit(self, features: np.ndarray) -> None:
        self._whitening = Whitening(features)

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        if self._whitening is None:
            raise ValueError(f"{self.name} is not fitted")
        return ops.norm(self._whitening(self.features(x, outputs)), axis=-1)
