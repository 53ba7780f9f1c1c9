"""How many clusters there are, where nobody says."""

from collections.abc import Callable, Mapping

import numpy as np
from sklearn.metrics import silhouette_score

from ae_models.latents.clustering.model import ClusteringConfig

_COMPARED = 5000  # records; the cost of a silhouette is quadratic in them


def by_silhouette(
    points: np.ndarray, labels: Callable[[int], np.ndarray], config: ClusteringConfig
) -> tuple[int, dict[int, float]]:
    """The number of clusters with the greatest mean silhouette (Rousseeuw 1987) over a seeded part
    of the records.

    Args:
      points: (n, d), between which distances are Euclidean.
      labels: gives the cluster of each, (n,), for a number of clusters.
      config: the number, if it is given, or the most that are tried.

    Returns:
      The number, and the silhouette of each that was tried: none where it was given.
    """
    if config.clusters is not None:
        return config.clusters, {}
    chosen = np.random.default_rng(config.seed).permutation(len(points))[:_COMPARED]
    tried = {}
    for clusters in candidates(len(points), config):
        found = labels(clusters)[chosen]
        if 1 < len(np.unique(found)) < len(found):
            tried[clusters] = float(silhouette_score(points[chosen], found))
    return greatest(tried), tried


def candidates(records: int, config: ClusteringConfig) -> range:
    """The numbers of clusters that are tried on so many records."""
    return range(2, min(config.most_clusters, records - 1) + 1)


def greatest(tried: Mapping[int, float]) -> int:
    """The number with the greatest value, the least of equal ones; 1 where none could be tried."""
    return max(tried, key=lambda clusters: (tried[clusters], -clusters), default=1)
