"""The number of clusters, if none is given."""

from collections.abc import Callable, Mapping

import numpy as np
from sklearn.metrics import silhouette_score

from ae_models.latents.clustering.model import ClusteringConfig

_COMPARED = 5000  # records; the cost of a silhouette is quadratic in their number


def by_silhouette(
    points: np.ndarray, labels: Callable[[int], np.ndarray], config: ClusteringConfig
) -> tuple[int, dict[int, float]]:
    """The number of clusters with the greatest mean silhouette (Rousseeuw 1987) over a random part
    of the records.

    Args:
      points: (n, d), with Euclidean distances.
      labels: returns the cluster of each point, (n,), for a number of clusters.
      config: the number, if it is given, or the greatest number to try.

    Returns:
      The number, and the silhouette of each number that was tried: none if it was given.
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
    """The numbers of clusters to try for this many records."""
    return range(2, min(config.most_clusters, records - 1) + 1)


def greatest(tried: Mapping[int, float]) -> int:
    """The number with the greatest value, the least in a tie; 1 if none could be tried."""
    return max(tried, key=lambda clusters: (tried[clusters], -clusters), default=1)
