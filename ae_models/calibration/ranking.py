"""How well scores rank anomalous records above others, computed from counts alone."""

import dataclasses
import functools

import numpy as np


@dataclasses.dataclass(frozen=True)
class Ranked:
    """The number of records of each kind at each place of a ranking, from the highest score.

    A place is a score that occurs, or all other records between two anomalous ones.

    Attributes:
      anomalous, others: (k,) int64, not both 0 at any place.
    """

    anomalous: np.ndarray
    others: np.ndarray

    @classmethod
    def of(cls, anomalous: np.ndarray, ascending: np.ndarray) -> "Ranked":
        """Ranks the scores of each kind, in the time of m searches in n scores.

        Args:
          anomalous: (m,) scores, none NaN, in any order.
          ascending: (n,) scores of the others, sorted.
        """
        values, counts = np.unique(anomalous, return_counts=True)
        ends = [np.searchsorted(ascending, values, side) for side in ("left", "right")]
        bounds = np.stack(ends, axis=1).ravel()  # where scores equal to each value begin, end
        others = np.diff(bounds, prepend=0, append=len(ascending))
        at = np.zeros(len(others), np.int64)
        at[1::2] = counts
        occurs = (at + others > 0)[::-1]
        return cls(at[::-1][occurs], others[::-1][occurs])

    @functools.cached_property
    def anomalous_above(self) -> np.ndarray:
        """(k,) the number of anomalous records at each place and above."""
        return np.cumsum(self.anomalous)

    @functools.cached_property
    def others_above(self) -> np.ndarray:
        """(k,) the number of others at each place and above."""
        return np.cumsum(self.others)

    @property
    def anomalous_share_above(self) -> np.ndarray:
        """(k,) the share of anomalous records above each place, counting half of those at it."""
        return (self.anomalous_above - self.anomalous / 2) / self.anomalous_above[-1]

    @property
    def others_share_below(self) -> np.ndarray:
        """(k,) the share of the others below each place, counting half of those at it."""
        return 1 - (self.others_above - self.others / 2) / self.others_above[-1]

    def auroc(self) -> float:
        """The area under the ROC curve: the probability that an anomalous record scores higher than
        another, equal scores counting half."""
        return float(self.anomalous @ self.others_share_below / self.anomalous_above[-1])

    def average_precision(self) -> float:
        """Σ_k (R_k − R_(k−1))·P_k over the places k, from the highest: P_k is the share of records
        at k and above that is anomalous, R_k the share of anomalous records at k and above."""
        true, false = self.anomalous_above, self.others_above
        return float(self.anomalous @ (true / (true + false)) / true[-1])


def auroc(truth: np.ndarray, scores: np.ndarray) -> float:
    """The area under the ROC curve (`Ranked.auroc`).

    Args:
      truth: (N,) bool, with both values present.
      scores: (N,) finite.
    """
    return Ranked.of(scores[truth], np.sort(scores[~truth])).auroc()


def average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    """The average precision (`Ranked.average_precision`).

    Args:
      truth: (N,) bool, at least one of them true.
      scores: (N,) finite.
    """
    return Ranked.of(scores[truth], np.sort(scores[~truth])).average_precision()
