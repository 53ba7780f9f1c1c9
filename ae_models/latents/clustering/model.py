"""The base of every clustering method: fitted on a sample, it assigns each record independently."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Self

import numpy as np

from ae_models.config.validated import check_range
from ae_models.errors import ConfigError

NOISE = -1  # the cluster of records that belong to no cluster
_QUANTILES = 257


class Assignment(NamedTuple):
    """For N records: `cluster` (N,) int32, and (N,) float32 the distance to that cluster's centre,
    the probability of belonging to it, and an outlier score in [0, 1], greater for more unusual
    records."""

    cluster: np.ndarray
    distance: np.ndarray
    probability: np.ndarray
    outlier_score: np.ndarray


@dataclasses.dataclass(frozen=True)
class ClusteringConfig:
    """The configuration of a clustering.

    Args:
      clusters: the number of clusters; None: chosen by the method's criterion.
      most_clusters: the greatest number to try if none is given.
      min_cluster_size: the minimum cluster size, in sampled records (hdbscan only); None: 1% of
        them, but at least 5.
      seed: for everything random.
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
    """Assigns latents (N, d) to clusters 0 to K − 1, with measures of each record's membership.

    A record's assignment depends on that record alone: its bits are the same in any batch.
    """

    method: ClassVar[str]
    criterion: ClassVar[str]  # by which the number of clusters is chosen
    sample_records: ClassVar[int] = 50_000  # a suitable number, given the time that fitting takes

    @classmethod  # noqa: B027 - most methods need no extra
    def check_installed(cls) -> None:
        """Raises MissingExtraError if `fit` needs a package that is not installed."""

    @classmethod
    @abc.abstractmethod
    def fit(cls, latents: np.ndarray, config: ClusteringConfig) -> tuple[Self, dict[int, float]]:
        """Finds clusters in a sample.

        Args:
          latents: (n, d) float32.
          config: the configuration.

        Returns:
          The clustering, and the criterion's value for each number of clusters that was tried.

        Raises:
          ConfigError: there are fewer records than clusters, or the configuration sets an option
            that this method does not support.
          MissingExtraError: a package that this method needs is not installed.
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
        """K, the number of clusters, not counting noise."""

    @property
    @abc.abstractmethod
    def latent_dim(self) -> int:
        """d, the length of the latents that can be assigned."""

    @abc.abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """Everything needed to restore this clustering, as arrays of numbers."""

    @classmethod
    @abc.abstractmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Restores a clustering from its `arrays`.

        Raises:
          KeyError, ValueError: they do not describe one.
        """


def check_enough(records: int, clusters: int | None) -> None:
    """Raises ConfigError if there are fewer records than clusters."""
    if records < (clusters or 1):
        raise ConfigError(f"{records} records are too few for clusters. Received: {clusters}")


def reliabilities(latents: np.ndarray, stddevs: np.ndarray) -> np.ndarray:
    """The share of signal in each record's latent: the mean over the dimensions of v / (v + s²),
    where v is the variance of the means over the sample and s the record's standard deviation; the
    reliability of classical test theory (Lord and Novick 1968). (n,) in (0, 1].

    Args:
      latents: (n, d) posterior means of a sample.
      stddevs: (n, d) posterior standard deviations.
    """
    signal = latents.var(axis=0, dtype=np.float64) + np.finfo(np.float32).tiny
    return np.mean(signal / (signal + np.square(stddevs, dtype=np.float64)), axis=1)


def squared_distances(latents: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(N, K) float64, from (N, d) to (K, d). Computed per record, without matrix products, so that
    a record's distances do not depend on its batch."""
    result = np.empty((len(latents), len(centres)))
    for index, centre in enumerate(centres.astype(np.float64)):
        result[:, index] = np.square(latents - centre).sum(axis=1)
    return result


def quantile_table(values: np.ndarray, members: np.ndarray, clusters: int) -> np.ndarray:
    """The quantiles of each cluster's distances in the sample, (K, 257), ascending.

    Args:
      values: (n,) distances.
      members: (n,) the cluster of each record.
      clusters: K.
    """
    levels, table = np.linspace(0, 1, _QUANTILES), np.zeros((clusters, _QUANTILES))
    for cluster in range(clusters):
        own = values[members == cluster]
        table[cluster] = np.quantile(own, levels) if len(own) else 0.0
    return table


def ranks(distances: np.ndarray, members: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The share of the cluster's sample records that are nearer to its centre, (N,) in [0, 1].

    Args:
      distances: (N,) to the centres of the records' clusters.
      members: (N,) these clusters.
      table: the result of `quantile_table`.
    """
    levels, result = np.linspace(0, 1, table.shape[1]), np.empty(len(distances))
    for cluster in np.unique(members):
        own = members == cluster
        result[own] = np.interp(distances[own], table[cluster], levels)
    return result
