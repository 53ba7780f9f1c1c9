"""How usual a record's errors and its latent's neighbourhood are, in either direction."""

from typing import TYPE_CHECKING

import numpy as np
from keras import ops

from ae_models.losses.losses import mean_absolute_error, mean_squared_error
from ae_models.ops.constants import constant
from ae_models.ops.tensor import LOG_TWO_PI, Tensor
from ae_models.scores.neighbours import CORE_SET, LatentNeighbours
from ae_models.scores.score import SMALLEST_ERROR, Outputs, Score

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture
    from sklearn.preprocessing import StandardScaler

_MOST_COMPONENTS = 16
_RECORDS_A_COMPONENT = 50
_SMALLEST_COVARIANCE = 1e-4  # of standardised statistics
_SMALLEST_DISTANCE = 1e-3  # whitened: a copy of a training record counts as no nearer


class Typicality(Score):
    """−log of the density, in nats, of three statistics of a record among those of the training
    records: log reconstruction_mse, log reconstruction_mae, log latent_knn, each standardised; the
    density is a mixture of 16 Gaussians.

    A record that is easier than any normal one, such as a blurred image, is as atypical as one
    that is harder. After "density of states estimation" (Morningstar et al. 2021).
    """

    name = "typicality"
    resolution = 1e-5  # nats
    parity = 1e-4  # that of latent_knn, from which it is computed

    def __init__(self) -> None:
        self._neighbours = LatentNeighbours()
        self._scaler: StandardScaler | None = None
        self._mixture: GaussianMixture | None = None

    def features(self, x: Tensor, outputs: Outputs) -> Tensor:
        latent, image = outputs["latent_mean"], outputs["reconstruction"]
        errors = (mean_squared_error(x, image), mean_absolute_error(x, image))
        logs = [ops.log(ops.maximum(error, SMALLEST_ERROR))[:, None] for error in errors]
        return ops.concatenate([latent, *logs], axis=-1)

    def fit(self, features: np.ndarray) -> None:
        """Searches for neighbours among the first records and fits the density to the others,
        because a record would be its own neighbour."""
        from sklearn.mixture import GaussianMixture  # noqa: PLC0415 - scoring never fits
        from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

        core, rest = np.split(features, [min(CORE_SET, len(features) // 2)])
        self._neighbours.fit(core[:, :-2])
        statistics = np.asarray(self._statistics(rest), np.float64)
        self._scaler = StandardScaler().fit(statistics)
        components = min(_MOST_COMPONENTS, max(1, len(rest) // _RECORDS_A_COMPONENT))
        self._mixture = GaussianMixture(
            components, random_state=0, reg_covar=_SMALLEST_COVARIANCE
        ).fit(self._scaler.transform(statistics))

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        if self._scaler is None or self._mixture is None:
            raise ValueError(f"{self.name} is not fitted")
        statistics = self._statistics(self.features(x, outputs))
        standardised = (statistics - constant(self._scaler.mean_)) / constant(self._scaler.scale_)
        return -_log_density(self._mixture, standardised)

    def _statistics(self, features: Tensor) -> Tensor:
        """(N, d + 2) → (N, 3)."""
        distance = self._neighbours.distance(features[:, :-2])
        return ops.concatenate(
            [features[:, -2:], ops.log(ops.maximum(distance, _SMALLEST_DISTANCE))[:, None]], axis=-1
        )


def _log_density(mixture: "GaussianMixture", x: Tensor) -> Tensor:
    """`mixture.score_samples` as a graph: (N, k) → (N,)."""
    factors = mixture.precisions_cholesky_  # (K, k, k), where P·Pᵀ is the precision
    centred = x[:, None, :] - constant(mixture.means_)
    white = ops.einsum("nki,kij->nkj", centred, constant(factors))
    log_determinants = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    constants = np.log(mixture.weights_) + log_determinants - 0.5 * x.shape[-1] * LOG_TWO_PI
    return ops.logsumexp(constant(constants) - 0.5 * ops.sum(ops.square(white), axis=-1), axis=-1)
