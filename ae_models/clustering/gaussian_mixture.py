"""A mixture of Gaussians, by scikit-learn."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from scipy.special import softmax
from sklearn.mixture import GaussianMixture

from ae_models.clustering.choice import candidates, greatest
from ae_models.clustering.model import (
    Assignment,
    Clustering,
    ClusteringConfig,
    check_enough,
    quantile_table,
    ranks,
)
from ae_models.gaussians import densities

_STARTS = 3
_LEAST_VARIANCE = 1e-4  # of a component in any direction, as a share of that of all latents


@dataclasses.dataclass(frozen=True, eq=False)
class MixtureClustering(Clustering):
    """A record belongs to the likeliest component, given its latent and, where the posterior has a
    standard deviation, how uncertain that is: s² is added to each component's covariance.

    The distance is Mahalanobis' under the covariance so widened.

    Args:
      weights: (K,), which add up to 1.
      means: (K, d).
      covariances: (K, d, d).
      radii: (K, q) quantiles of the sample's distances.
    """

    method: ClassVar[str] = "gmm"
    criterion: ClassVar[str] = "least Bayesian information criterion"
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    radii: np.ndarray

    @classmethod
    def fit(cls, latents: np.ndarray, config: ClusteringConfig) -> tuple[Self, dict[int, float]]:
        check_enough(len(latents), config.clusters)
        tried: dict[int, float] = {}
        if config.clusters is None:
            for clusters in candidates(len(latents), config):
                tried[clusters] = -fitted_mixture(latents, clusters, config.seed, 1).bic(latents)
        clusters = config.clusters or greatest(tried)
        found = cls.of_mixture(latents, fitted_mixture(latents, clusters, config.seed, _STARTS))
        return found, {clusters: -value for clusters, value in tried.items()}

    @classmethod
    def of_mixture(cls, latents: np.ndarray, found: GaussianMixture) -> Self:
        """The clustering of a mixture that was fitted on these latents, (n, d)."""
        bare = cls(found.weights_, found.means_, found.covariances_, np.zeros((0, 0)))
        assigned = bare._assigned(latents, None)
        radii = quantile_table(assigned.distance, assigned.cluster, bare.count)
        return dataclasses.replace(bare, radii=radii)

    def assign(self, latents: np.ndarray, stddevs: np.ndarray | None) -> Assignment:
        found = self._assigned(latents, stddevs)
        outlier = ranks(found.distance, found.cluster, self.radii)
        return found._replace(outlier_score=outlier.astype(np.float32))

    def _assigned(self, latents: np.ndarray, stddevs: np.ndarray | None) -> Assignment:
        """All but the outlier scores."""
        variances = None if stddevs is None else np.square(stddevs, dtype=np.float64)
        found = densities(latents, variances, self.means, self.covariances)
        probabilities = softmax(found.log_densities + np.log(self.weights), axis=1)
        likeliest, rows = probabilities.argmax(axis=1), np.arange(len(latents))
        return Assignment(
            likeliest.astype(np.int32),
            np.sqrt(found.squared_distances[rows, likeliest]).astype(np.float32),
            probabilities[rows, likeliest].astype(np.float32),
            np.zeros(len(latents), np.float32),
        )

    @property
    def count(self) -> int:
        return len(self.weights)

    @property
    def latent_dim(self) -> int:
        return int(self.means.shape[1])

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            "weights": self.weights,
            "means": self.means,
            "covariances": self.covariances,
            "radii": self.radii,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        found = cls(**{name: arrays[name] for name in ("weights", "means", "covariances", "radii")})
        dim = found.latent_dim
        if found.covariances.shape != (found.count, dim, dim) or len(found.radii) != found.count:
            raise ValueError("its weights, means and covariances do not fit together")
        np.linalg.cholesky(found.covariances)
        return found


def fitted_mixture(
    points: np.ndarray, clusters: int, seed: int, starts: int = _STARTS
) -> GaussianMixture:
    """A mixture with full covariances, the best of several starts.

    Args:
      points: (n, d).
      clusters: the number of components.
      seed: of the starts.
      starts: how many.
    """
    least = _LEAST_VARIANCE * float(points.var(axis=0, dtype=np.float64).mean())
    mixture = GaussianMixture(
        clusters,
        n_init=starts,
        reg_covar=max(least, np.finfo(np.float32).tiny),
        random_state=seed,
        max_iter=300,
    )
    return mixture.fit(points.astype(np.float64))
