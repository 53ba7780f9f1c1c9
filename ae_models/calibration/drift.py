"""How far the scores of a run are from those of the calibration records."""

import dataclasses

import numpy as np

_CHANCE = 0.01  # the share of pairs of samples from one distribution beyond the stated distance


@dataclasses.dataclass(frozen=True)
class Drift:
    """The comparison of two samples of scores.

    Attributes:
      records: the number of scores in the run.
      distance: the Kolmogorov-Smirnov distance, the greatest difference between the two empirical
        distribution functions: 0 if they are equal, 1 if they do not overlap.
      by_chance: the distance that two samples of these sizes from one continuous distribution
        exceed in 1 case of 100 (asymptotically).
      higher: whether the run's scores are higher where the difference is greatest.
    """

    records: int
    distance: float
    by_chance: float
    higher: bool

    @property
    def beyond_chance(self) -> bool:
        return self.distance > self.by_chance


class ScoreCounts:
    """Counts scores that arrive in parts at and between the values of reference scores.

    Comparing the two needs nothing else: between neighbouring reference scores the reference's
    distribution function is constant, so that the difference is greatest at an end. Memory is
    proportional to the reference, however many scores arrive.

    Args:
      reference: (n,) finite scores.
    """

    def __init__(self, reference: np.ndarray):
        self._values, counts = np.unique(reference, return_counts=True)
        self._n = len(reference)
        self._reference = np.cumsum(counts) / self._n
        # Below the first value, at it, between it and the second, at the second, and so on.
        self._counts = np.zeros(2 * len(self._values) + 1, np.int64)

    def add(self, scores: np.ndarray) -> None:
        """Adds (N,) scores, ignoring NaN."""
        scores = scores[~np.isnan(scores)]
        places = sum(np.searchsorted(self._values, scores, side) for side in ("left", "right"))
        self._counts += np.bincount(places, minlength=len(self._counts))

    def drift(self) -> Drift:
        """The drift of the scores added so far; none if there are no scores."""
        records = int(self._counts.sum())
        if not records:
            return Drift(0, 0.0, 1.0, higher=False)
        from scipy import stats  # noqa: PLC0415 - only the summary of an entire run needs it

        run = np.cumsum(self._counts) / records
        before = np.concatenate([[0.0], self._reference[:-1]])
        differences = np.concatenate([run[1::2] - self._reference, run[0:-1:2] - before])
        place = np.argmax(np.abs(differences))
        by_chance = stats.kstwobign.isf(_CHANCE) * np.sqrt(1 / records + 1 / self._n)
        distance = float(abs(differences[place]))
        return Drift(records, distance, float(min(1, by_chance)), bool(differences[place] < 0))

    def share_above(self, value: float) -> float:
        """The share of the scores that are greater than a value of the reference."""
        at = 2 * int(np.searchsorted(self._values, value)) + 1
        return float(self._counts[at + 1 :].sum() / max(1, self._counts.sum()))
