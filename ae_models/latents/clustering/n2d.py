"""N2D (McConville et al. 2019): a mixture of Gaussians on a manifold learned from the latents, here
by UMAP (McInnes et al. 2018)."""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, NamedTuple, Self

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ae_models.config.extras import require
from ae_models.latents.clustering.choice import by_silhouette
from ae_models.latents.clustering.gaussian_mixture import (
    MIXTURE_ARRAYS,
    Memberships,
    MixtureClustering,
    fitted_mixture,
)
from ae_models.latents.clustering.model import (
    Assignment,
    Clustering,
    ClusteringConfig,
    check_enough,
    quantile_table,
    ranks,
)

_NEIGHBOURS = 20
_DIMENSIONS = 10  # of the manifold; fewer if latents or records have fewer
_OWN_ARRAYS = ("sample", "places", "spreads", "radii")
_TINY = float(np.finfo(np.float32).tiny)
_BLOCK = 4096  # records per neighbour search: a fixed number, so that the bits are the same


class _Near(NamedTuple):
    """For N records, (N,): the cluster, its probability, and the two legs of the distance."""

    cluster: np.ndarray
    probability: np.ndarray
    along: np.ndarray
    off: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class ManifoldClustering(Clustering):
    """A new record is not placed on the manifold. It is described by its nearest sample records,
    weighted by exp(−(d − r) / s), where d are their distances, r is the least distance and s the
    mean excess of the others over it. (UMAP also starts to place new points like this, but then
    moves all new points together.)

    The probability of a cluster is the weighted mean of the neighbours' under the mixture. The
    distance has two legs, as in PCA: √(a² + b²), where a is the weighted mean of the neighbours'
    Mahalanobis distances to the cluster's centre, and b is how far the record is from the sample:
    its mean distance to the neighbours, as a multiple of the cluster's median, times its median a.

    Args:
      sample: (n, d) latents.
      places: (n, m) their positions on the manifold.
      mixture: the mixture of the positions.
      spreads: (K, 2) the medians, over a cluster's sample records, of a and of the mean distance to
        their neighbours.
      radii: (K, q) quantiles of the sample's distances.
    """

    method: ClassVar[str] = "n2d"
    criterion: ClassVar[str] = "greatest mean silhouette on the manifold"
    sample: np.ndarray
    places: np.ndarray
    mixture: MixtureClustering
    spreads: np.ndarray
    radii: np.ndarray

    @classmethod
    def check_installed(cls) -> None:
        require("N2D clusters", "umap")

    @classmethod
    def fit(cls, latents: np.ndarray, config: ClusteringConfig) -> tuple[Self, dict[int, float]]:
        cls.check_installed()
        check_enough(len(latents), max(2 * _NEIGHBOURS, config.clusters or 1))
        places = _places(latents, config.seed)

        def labels(clusters: int) -> np.ndarray:
            return fitted_mixture(places, clusters, config.seed, starts=1).predict(places)

        clusters, tried = by_silhouette(places, labels, config)
        found = fitted_mixture(places, clusters, config.seed)
        mixture = MixtureClustering.of_mixture(places, found)
        bare = cls(latents, places, mixture, np.ones((clusters, 2)), np.zeros((0, 0)))
        near = bare._near(latents)
        spreads = [
            np.median(np.stack([near.along, near.off])[:, near.cluster == cluster], axis=1)
            if (near.cluster == cluster).any()
            else np.ones(2)
            for cluster in range(clusters)
        ]
        bare = dataclasses.replace(bare, spreads=np.maximum(spreads, _TINY))
        radii = quantile_table(bare._distances(near), near.cluster, clusters)
        return dataclasses.replace(bare, radii=radii), tried

    def assign(self, latents: np.ndarray, stddevs: np.ndarray | None) -> Assignment:
        del stddevs
        near = self._near(latents)
        distance = self._distances(near)
        return Assignment(
            near.cluster.astype(np.int32),
            distance.astype(np.float32),
            near.probability.astype(np.float32),
            ranks(distance, near.cluster, self.radii).astype(np.float32),
        )

    def _distances(self, near: _Near) -> np.ndarray:
        along, off = self.spreads[near.cluster].T
        return np.hypot(near.along, near.off / off * along)

    def _near(self, latents: np.ndarray) -> _Near:
        parts = [
            self._near_block(latents[start : start + _BLOCK])
            for start in range(0, max(1, len(latents)), _BLOCK)
        ]
        return _Near(*map(np.concatenate, zip(*parts, strict=True)))

    def _near_block(self, latents: np.ndarray) -> _Near:
        block = np.zeros((_BLOCK, self.latent_dim), self.sample.dtype)
        block[: len(latents)] = latents
        distances, nearest = (part[: len(latents)] for part in self._neighbours.kneighbors(block))
        excess = distances - distances[:, :1]
        weights = np.exp(-excess / np.maximum(excess.mean(axis=1, keepdims=True), _TINY))
        weights /= weights.sum(axis=1, keepdims=True)
        probabilities = np.einsum("nk,nkc->nc", weights, self._of_sample.probabilities[nearest])
        cluster, rows = probabilities.argmax(axis=1), np.arange(len(latents))
        along = self._of_sample.distances[nearest, cluster[:, None]]
        return _Near(
            cluster,
            probabilities[rows, cluster],
            np.einsum("nk,nk->n", weights, along),
            distances.mean(axis=1),
        )

    @cached_property
    def _of_sample(self) -> Memberships:
        return self.mixture.memberships(self.places, None)

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
        mixture = {f"mixture_{name}": array for name, array in self.mixture.arrays().items()}
        own = {name: getattr(self, name) for name in _OWN_ARRAYS}
        return own | mixture

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        of_mixture = {name: arrays[f"mixture_{name}"] for name in MIXTURE_ARRAYS}
        mixture = MixtureClustering.from_arrays(of_mixture)
        found = cls(mixture=mixture, **{name: arrays[name] for name in _OWN_ARRAYS})
        shapes = (found.spreads.shape, len(found.radii), len(found.places), mixture.latent_dim)
        fitting = ((found.count, 2), found.count, len(found.sample), found.places.shape[1])
        if shapes != fitting or len(found.sample) < _NEIGHBOURS or found.spreads.min() <= 0:
            raise ValueError("its sample, places and mixture are inconsistent")
        return found


def _places(latents: np.ndarray, seed: int) -> np.ndarray:
    from umap import UMAP  # noqa: PLC0415 - compiles for seconds, and only fitting needs it

    dimensions = min(_DIMENSIONS, latents.shape[1], len(latents) // 10)
    manifold = UMAP(
        n_neighbors=_NEIGHBOURS,
        n_components=max(2, dimensions),
        min_dist=0.0,
        random_state=seed,
        n_jobs=1,  # the same positions for the same seed
    )
    return manifold.fit_transform(latents)
