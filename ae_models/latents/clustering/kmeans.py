"""k-means (Lloyd 1982), fitted by scikit-learn."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from scipy.special import softmax
from sklearn.cluster import KMeans

from ae_models.latents.clustering.choice import by_silhouette
from ae_models.latents.clustering.model import (
    Assignment,
    Clustering,
    ClusteringConfig,
    check_enough,
    quantile_table,
    ranks,
    squared_distances,
)

_STARTS = 10


@dataclasses.dataclass(frozen=True, eq=False)
class KMeansClustering(Clustering):
    """A record belongs to the nearest centre, by Euclidean distance.

    The probability is that of a mixture of spherical Gaussians with equal variances around the
    centres, of which k-means is a limit: the variance is the pooled one within the clusters plus
    the mean variance of the record's posterior.

    Args:
      centres: (K, d).
      variance: the variance of a latent's coordinate around its centre.
      radii: (K, q) quantiles of the sample's distances.
    """

    method: ClassVar[str] = "kmeans"
    criterion: ClassVar[str] = "greatest mean silhouette"
    centres: np.ndarray
    variance: np.ndarray
    radii: np.ndarray

    @classmethod
    def fit(cls, latents: np.ndarray, config: ClusteringConfig) -> tuple[Self, dict[int, float]]:
        check_enough(len(latents), config.clusters)

        def labels(clusters: int) -> np.ndarray:
            return _fitted(latents, clusters, config.seed, starts=1).labels_

        clusters, tried = by_silhouette(latents, labels, config)
        found = _fitted(latents, clusters, config.seed, _STARTS)
        centres = found.cluster_centers_.astype(np.float64)
        squared = squared_distances(latents, centres)
        nearest = squared.argmin(axis=1)
        own = squared[np.arange(len(latents)), nearest]
        variance = np.maximum(own.mean() / latents.shape[1], np.finfo(np.float32).tiny)
        radii = quantile_table(np.sqrt(own), nearest, clusters)
        return cls(centres, np.asarray(variance), radii), tried

    def assign(self, latents: np.ndarray, stddevs: np.ndarray | None) -> Assignment:
        squared = squared_distances(latents, self.centres)
        nearest, rows = squared.argmin(axis=1), np.arange(len(latents))
        distance = np.sqrt(squared[rows, nearest])
        variance = np.broadcast_to(self.variance, len(latents)).astype(np.float64)
        if stddevs is not None:
            variance = variance + np.square(stddevs, dtype=np.float64).mean(axis=1)
        probability = softmax(-squared / (2 * variance[:, None]), axis=1)[rows, nearest]
        return Assignment(
            nearest.astype(np.int32),
            distance.astype(np.float32),
            probability.astype(np.float32),
            ranks(distance, nearest, self.radii).astype(np.float32),
        )

    @property
    def count(self) -> int:
        return len(self.centres)

    @property
    def latent_dim(self) -> int:
        return int(self.centres.shape[1])

    def arrays(self) -> dict[str, np.ndarray]:
        return {"centres": self.centres, "variance": self.variance, "radii": self.radii}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        found = cls(arrays["centres"], arrays["variance"], arrays["radii"])
        if found.centres.ndim != 2 or len(found.radii) != found.count or found.variance <= 0:
            raise ValueError("its centres, variance and radii are inconsistent")
        return found


def _fitted(latents: np.ndarray, clusters: int, seed: int, starts: int) -> KMeans:
    return KMeans(clusters, n_init=starts, random_state=seed).fit(latents)
