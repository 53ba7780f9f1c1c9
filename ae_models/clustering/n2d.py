"""N2D (McConville et al. 2019): a mixture of Gaussians on a manifold learned from the latents, here
by UMAP (McInnes et al. 2018)."""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ae_models.clustering.choice import by_silhouette
from ae_models.clustering.gaussian_mixture import MixtureClustering, fitted_mixture
from ae_models.clustering.model import Assignment, Clustering, ClusteringConfig, check_enough

_NEIGHBOURS = 20
_DIMENSIONS = 10  # of the manifold; fewer where latents or records are
_BLOCK = 4096  # records whose neighbours are sought at once: always so many, for the same bits


@dataclasses.dataclass(frozen=True, eq=False)
class ManifoldClustering(Clustering):
    """A record's place on the manifold is the mean of those of its nearest sample latents, weighted
    by exp(−(d − r) / s): r is the distance to the nearest and s the mean excess of the others, as
    where UMAP places a new point to begin with. UMAP then moves all new points together; here none
    moves, so that a record's place depends on the record alone.

    Probability and distance, Mahalanobis', are those of the mixture on the manifold.

    Args:
      sample: (n, d) latents.
      places: (n, m) of these on the manifold.
      mixture: of the places.
    """

    method: ClassVar[str] = "n2d"
    criterion: ClassVar[str] = "greatest mean silhouette on the manifold"
    sample: np.ndarray
    places: np.ndarray
    mixture: MixtureClustering

    @classmethod
    def fit(cls, latents: np.ndarray, config: ClusteringConfig) -> tuple[Self, dict[int, float]]:
        check_enough(len(latents), max(2 * _NEIGHBOURS, config.clusters or 1))
        places = _places(latents, config.seed)

        def labels(clusters: int) -> np.ndarray:
            return fitted_mixture(places, clusters, config.seed, starts=1).predict(places)

        clusters, tried = by_silhouette(places, labels, config)
        mixture = fitted_mixture(places, clusters, config.seed)
        bare = cls(latents, places, MixtureClustering.of_mixture(places, mixture))
        # Distances to be compared with are those of records that are placed as new ones are.
        placed = MixtureClustering.of_mixture(bare._placed(latents), mixture)
        return dataclasses.replace(bare, mixture=placed), tried

    def assign(self, latents: np.ndarray, stddevs: np.ndarray | None) -> Assignment:
        del stddevs
        return self.mixture.assign(self._placed(latents), None)

    def _placed(self, latents: np.ndarray) -> np.ndarray:
        """(N, m) float64, of (N, d)."""
        placed = np.empty((len(latents), self.places.shape[1]))
        for start in range(0, len(latents), _BLOCK):
            part = latents[start : start + _BLOCK]
            block = np.zeros((_BLOCK, latents.shape[1]), self.sample.dtype)
            block[: len(part)] = part
            distances, nearest = self._neighbours.kneighbors(block)
            excess = distances - distances[:, :1]
            scale = np.maximum(excess.mean(axis=1, keepdims=True), np.finfo(np.float32).tiny)
            weights = np.exp(-excess / scale)
            weights /= weights.sum(axis=1, keepdims=True)
            means = np.einsum("nk,nkm->nm", weights, self.places[nearest].astype(np.float64))
            placed[start : start + len(part)] = means[: len(part)]
        return placed

    @cached_property
    def _neighbours(self) -> NearestNeighbors:
        return NearestNeighbors(n_neighbors=_NEIGHBOURS, algorithm="brute").fit(self.sample)

    @property
    def count(self) -> int:
        return self.mixture.count

    @property
    def latent_dim(self) -> int:
        return int(self.sample.shape[1])

    def arrays(self) -> dict[str, np.ndarray]:
        return {"sample": self.sample, "places": self.places, **self.mixture.arrays()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        found = cls(arrays["sample"], arrays["places"], MixtureClustering.from_arrays(arrays))
        fits = found.mixture.latent_dim == found.places.shape[1]
        if len(found.sample) != len(found.places) or len(found.sample) < _NEIGHBOURS or not fits:
            raise ValueError("its sample, places and mixture do not fit together")
        return found


def _places(latents: np.ndarray, seed: int) -> np.ndarray:
    from umap import UMAP  # noqa: PLC0415 - compiles for seconds, and only fitting needs it

    dimensions = min(_DIMENSIONS, latents.shape[1], len(latents) // 10)
    manifold = UMAP(
        n_neighbors=_NEIGHBOURS,
        n_components=max(2, dimensions),
        min_dist=0.0,
        random_state=seed,
        n_jobs=1,  # the same places for the same seed
    )
    return manifold.fit_transform(latents)
