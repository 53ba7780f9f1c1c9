"""A mixture of Gaussians, fitted by scikit-learn."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Self

import numpy as np
from scipy.special import softmax
from sklearn.mixture import GaussianMixture

from ae_models.latents.clustering.choice import candidates, greatest
from ae_models.latents.clustering.model import (
    Assignment,
    Clustering,
    ClusteringConfig,
    check_enough,
    quantile_table,
    ranks,
)
from ae_models.latents.gaussians import densities
from ae_models.latents.mixtures import fit_mixture

MIXTURE_ARRAYS = ("weights", "means", "covariances", "radii")
_STARTS = 3
_LEAST_VARIANCE = 1e-4  # of a component in any direction, as a share of that of all latents


class Memberships(NamedTuple):
    """For N records and K components, (N, K): probabilities, and Mahalanobis distances."""

    probabilities: np.ndarray
    distances: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class MixtureClustering(Clustering):
    """A record belongs to the most probable component, given its latent and, if the posterior has a
    standard deviation s, its uncertainty: s² is added to each component's covariance.

    The distance is the Mahalanobis distance under the widened covariance.

    Args:
      weights: (K,), which sum to 1.
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
        """The clustering by a mixture that was fitted to these latents, (n, d)."""
        bare = cls(found.weights_, found.means_, found.covariances_, np.zeros((0, 0)))
        probabilities, distances = bare.memberships(latents, None)
        likeliest = probabilities.argmax(axis=1)
        own = distances[np.arange(len(latents)), likeliest]
        return dataclasses.replace(bare, radii=quantile_table(own, likeliest, bare.count))

    def assign(self, latents: np.ndarray, stddevs: np.ndarray | None) -> Assignment:
        variances = None if stddevs is None else np.square(stddevs, dtype=np.float64)
        probabilities, distances = self.memberships(latents, variances)
        likeliest, rows = probabilities.argmax(axis=1), np.arange(len(latents))
        distance = distances[rows, likeliest]
        return Assignment(
            likeliest.astype(np.int32),
            distance.astype(np.float32),
            probabilities[rows, likeliest].astype(np.float32),
            ranks(distance, likeliest, self.radii).astype(np.float32),
        )

    def memberships(self, latents: np.ndarray, variances: np.ndarray | None) -> Memberships:
        """Memberships of latents (N, d) with posterior variances, (N, d); None: 0."""
        found = densities(latents, variances, self.means, self.covariances)
        probabilities = softmax(found.log_densities + np.log(self.weights), axis=1)
        return Memberships(probabilities, np.sqrt(found.squared_distances))

    @property
    def count(self) -> int:
        return len(self.weights)

    @property
    def latent_dim(self) -> int:
        return int(self.means.shape[1])

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name) for name in MIXTURE_ARRAYS}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        found = cls(**{name: arrays[name] for name in MIXTURE_ARRAYS})
        dim = found.latent_dim
        if found.covariances.shape != (found.count, dim, dim) or len(found.radii) != found.count:
            raise ValueError("its weights, means and covariances are inconsistent")
        np.linalg.cholesky(found.covariances)
        return found


def fitted_mixture(
    points: np.ndarray, clusters: int, seed: int, starts: int = _STARTS
) -> GaussianMixture:
    """Fits a mixture with full covariances, the best of several starts.

    Args:
      points: (n, d).
      clusters: the number of components.
      seed: for the starts.
      starts: the number of starts.
    """
    least = _LEAST_VARIANCE * float(points.var(axis=0, dtype=np.float64).mean())
    ridge = max(least, float(np.finfo(np.float32).tiny))
    return fit_mixture(points, clusters, ridge=ridge, seed=seed, starts=starts)
