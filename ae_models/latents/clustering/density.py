"""HDBSCAN (Campello et al. 2013), from the package hdbscan: clusters are dense regions."""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from ae_models.config.extras import require
from ae_models.errors import ConfigError
from ae_models.latents.clustering.model import (
    NOISE,
    Assignment,
    Clustering,
    ClusteringConfig,
    check_enough,
    squared_distances,
)

require("HDBSCAN clusters", "hdbscan")
from hdbscan import HDBSCAN  # noqa: E402 - what it is needed for is said first
from hdbscan.prediction import (  # noqa: E402
    PredictionData,
    approximate_predict,
    approximate_predict_scores,
)

_LEAST_SIZE, _SHARE = 5, 0.01
# The neighbours that make a place dense. With as many as the minimum cluster size, the package's
# default, most records would be noise, and searching for them dominates the cost of an assignment.
_MOST_NEIGHBOURS = 10
_TREE = ("parent", "child", "lambda_val", "child_size")


@dataclasses.dataclass(frozen=True, eq=False)
class DensityClustering(Clustering):
    """A record in a dense enough place belongs to the cluster of its nearest neighbour by mutual
    reachability; any other is noise: cluster −1, probability 0.

    The distance is Euclidean, to the mean of the cluster's sample records weighted by their
    membership; for noise, to the nearest such mean. The outlier score is GLOSH (Campello et al.
    2015).

    Args:
      sample: (n, d) latents.
      labels: (n,) the cluster of each.
      centres: (K, d).
      tree: the condensed tree, with hdbscan's fields.
      size: the minimum cluster size.
    """

    method: ClassVar[str] = "hdbscan"
    criterion: ClassVar[str] = "excess of mass"
    sample_records: ClassVar[int] = 10_000  # the cost is nearly quadratic in many dimensions
    sample: np.ndarray
    labels: np.ndarray
    centres: np.ndarray
    tree: np.ndarray
    size: int

    @cached_property
    def _clusterer(self) -> HDBSCAN:
        """The package's predictor, rebuilt from the stored results."""
        clusterer = _unfitted(self.size)
        clusterer.labels_, clusterer.condensed_tree_ = self.labels, self.tree
        clusterer.prediction_data_ = PredictionData(
            self.sample, clusterer.condensed_tree_, clusterer.min_samples, tree_type="kdtree"
        )
        return clusterer

    @classmethod
    def fit(cls, latents: np.ndarray, config: ClusteringConfig) -> tuple[Self, dict[int, float]]:
        if config.clusters is not None:
            raise ConfigError(
                "hdbscan determines the number of clusters: use --min_cluster_size instead. "
                f"Received: --clusters {config.clusters}"
            )
        size = config.min_cluster_size or max(_LEAST_SIZE, round(_SHARE * len(latents)))
        check_enough(len(latents), 2 * size)
        found = _unfitted(size).fit(latents.astype(np.float64))
        count = int(found.labels_.max()) + 1
        centres = [found.weighted_cluster_centroid(cluster) for cluster in range(count)]
        return cls(
            latents.astype(np.float64),
            found.labels_.astype(np.int64),
            np.array(centres).reshape(count, latents.shape[1]),
            found.condensed_tree_.to_numpy(),
            size,
        ), {}

    def assign(self, latents: np.ndarray, stddevs: np.ndarray | None) -> Assignment:
        del stddevs
        if not self.count:
            return _all_noise(len(latents))
        points = latents.astype(np.float64)
        cluster, probability = approximate_predict(self._clusterer, points)
        squared = squared_distances(points, self.centres)
        nearest = np.where(cluster == NOISE, squared.argmin(axis=1), cluster)
        outlier = approximate_predict_scores(self._clusterer, points)
        return Assignment(
            cluster.astype(np.int32),
            np.sqrt(squared[np.arange(len(points)), nearest]).astype(np.float32),
            probability.astype(np.float32),
            np.clip(outlier, 0, 1).astype(np.float32),
        )

    @property
    def count(self) -> int:
        return len(self.centres)

    @property
    def latent_dim(self) -> int:
        return int(self.sample.shape[1])

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            "sample": self.sample,
            "labels": self.labels,
            "centres": self.centres,
            "size": np.asarray(self.size),
            **{name: self.tree[name] for name in _TREE},
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        tree = np.empty(len(arrays[_TREE[0]]), [(name, arrays[name].dtype) for name in _TREE])
        for name in _TREE:
            tree[name] = arrays[name]
        size, sample = int(arrays["size"]), arrays["sample"]
        if len(arrays["labels"]) != len(sample) or not 0 < size <= len(sample):
            raise ValueError("its sample, labels and size are inconsistent")
        return cls(sample, arrays["labels"], arrays["centres"], tree, size)


def _unfitted(size: int) -> HDBSCAN:
    neighbours = min(size, _MOST_NEIGHBOURS)
    return HDBSCAN(min_cluster_size=size, min_samples=neighbours, core_dist_n_jobs=1)


def _all_noise(count: int) -> Assignment:
    return Assignment(
        np.full(count, NOISE, np.int32),
        np.full(count, np.nan, np.float32),
        np.zeros(count, np.float32),
        np.ones(count, np.float32),
    )
