"""What every way of clustering latents is: fitted on a sample, it assigns any record by itself."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Self

import numpy as np

from ae_models.config.validated import check_range
from ae_models.errors import ConfigError

NOISE = -1  # the cluster of records that belong to none
_QUANTILES = 257


class Assignment(NamedTuple):
    """Of N records: `cluster` (N,) int32, and (N,) float32 the distance to that cluster's centre,
    the probability of belonging to it, and an outlier score in [0, 1], greater for odder records.
    """

    cluster: np.ndarray
    distance: np.ndarray
    probability: np.ndarray
    outlier_score: np.ndarray


@dataclasses.dataclass(frozen=True)
class ClusteringConfig:
    """How a clustering is fitted.

    Args:
      clusters: how many; None: chosen by the method's own criterion.
      most_clusters: that are tried where none are given.
      min_cluster_size: the least records of the sample that make a cluster of HDBSCAN; None: one in
        a hundred of them, and 5 at least.
      seed: of all that is random.
    """

    clusters: int | None = None
    most_clusters: int = 20
    min_cluster_size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.clusters is not None:
            check_range(1, clusters=self.clusters)
        if self.min_cluster_size is not None:
            check_range(2, min_cluster_size=self.min_cluster_size)
        check_range(2, most_clusters=self.most_clusters)
        check_range(0, 2**32 - 1, seed=self.seed)


class Clustering(abc.ABC):
    """Clusters 0 to K − 1 of latents (N, d), and what tells how a record lies among them.

    A record's assignment depends on the record alone: it is the same bits whatever batch it is in.
    """

    method: ClassVar[str]
    criterion: ClassVar[str]  # what chooses the number of clusters
    sample_records: ClassVar[int] = 50_000  # that suit the time which fitting takes

    @classmethod  # noqa: B027 - most methods need no extra
    def check_installed(cls) -> None:
        """Raises MissingExtraError where `fit` needs a package that is not installed."""

    @classmethod
    @abc.abstractmethod
    def fit(cls, latents: np.ndarray, config: ClusteringConfig) -> tuple[Self, dict[int, float]]:
        """Finds clusters in a sample.

        Args:
          latents: (n, d) float32.
          config: how.

        Returns:
          The clustering, and the criterion's value for each number of clusters that was tried.

        Raises:
          ConfigError: there are fewer records than clusters, or the configuration has what this
            method has no use for.
          MissingExtraError: as `check_installed`.
        """

    @abc.abstractmethod
    def assign(self, latents: np.ndarray, stddevs: np.ndarray | None) -> Assignment:
        """The clusters of records.

        Args:
          latents: (N, d) float32.
          stddevs: (N, d) float32, the standard deviations of their posteriors; None: 0.
        """

    @property
    @abc.abstractmethod
    def count(self) -> int:
        """K, the number of clusters; noise is none of them."""

    @property
    @abc.abstractmethod
    def latent_dim(self) -> int:
        """d, the length of the latents that can be assigned."""

    @abc.abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """All that it takes to make this clustering again, as arrays of numbers."""

    @classmethod
    @abc.abstractmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The clustering whose `arrays` these are.

        Raises:
          KeyError, ValueError: they are of none.
        """


def check_enough(records: int, clusters: int | None) -> None:
    """Raises ConfigError where there are fewer records than clusters."""
    if records < (clusters or 1):
        raise ConfigError(f"{records} records cannot make clusters. Received: {clusters}")


def reliabilities(latents: np.ndarray, stddevs: np.ndarray) -> np.ndarray:
    """How much of what a record's latent says is signal: the mean over the dimensions of
    v / (v + s²), v being the variance of the means over the sample and s the record's own standard
    deviation; the reliability of classical test theory (Lord and Novick 1968). (n,) in (0, 1].

    Args:
      latents: (n, d) posterior means of a sample.
      stddevs: (n, d) posterior standard deviations.
    """
    signal = latents.var(axis=0, dtype=np.float64) + np.finfo(np.float32).tiny
    return np.mean(signal / (signal + np.square(stddevs, dtype=np.float64)), axis=1)


def squared_distances(latents: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(N, K) float64, of (N, d) to (K, d). Each by itself, without matrix products, so that a
    record's do not depend on its batch."""
    result = np.empty((len(latents), len(centres)))
    for index, centre in enumerate(centres.astype(np.float64)):
        result[:, index] = np.square(latents - centre).sum(axis=1)
    return result


def quantile_table(values: np.ndarray, members: np.ndarray, clusters: int) -> np.ndarray:
    """Of each cluster the quantiles of its sample records' distances, (K, 257), ascending.

    Args:
      values: (n,) distances.
      members: (n,) the cluster of each.
      clusters: K.
    """
    levels, table = np.linspace(0, 1, _QUANTILES), np.zeros((clusters, _QUANTILES))
    for cluster in range(clusters):
        own = values[members == cluster]
        table[cluster] = np.quantile(own, levels) if len(own) else 0.0
    return table


def ranks(distances: np.ndarray, members: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The share of the cluster's sample records that lie nearer to its centre, (N,) in [0, 1].

    Args:
      distances: (N,) to the centres of their clusters.
      members: (N,) these clusters.
      table: of `quantile_table`.
    """
    levels, result = np.linspace(0, 1, table.shape[1]), np.empty(len(distances))
    for cluster in np.unique(members):
        own = members == cluster
        result[own] = np.interp(distances[own], table[cluster], levels)
    return result
