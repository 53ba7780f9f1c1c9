"""Split-conformal p-values against held-out normal records."""

import bisect
import math

import numpy as np

from ae_models.calibration.pareto_tail import ParetoTail


def conformal_p_values(
    scores: np.ndarray, calibration: np.ndarray, tail: ParetoTail | None = None
) -> np.ndarray:
    """p = (1 + #{calibration ≥ s}) / (n + 1), (N,) float64 (Vovk et al. 2005).

    Args:
      scores: (N,) float32; a NaN gives a p-value of NaN.
      calibration: (n,) float32, sorted in ascending order.
      tail: fitted to `calibration`; gives a score above all of it the tail's p-value, where that
        is below 1 / (n + 1).
    """
    n = len(calibration)
    at_least = n - np.searchsorted(calibration, scores, side="left")
    p_values = (1.0 + at_least) / (n + 1.0)
    if tail is not None:
        beyond = scores > calibration[-1]
        p_values[beyond] = np.minimum(p_values[beyond], tail.p_values(scores[beyond]))
    return np.where(np.isnan(scores), np.nan, p_values)


def least_to_flag(fpr: float) -> int:
    """The least number n of calibration records with a p-value, 1 / (n + 1), of at most `fpr`."""
    records = max(1, int(1 / fpr) - 1)
    while 1 / (records + 1) > fpr:
        records += 1
    return records


def least_rate(records: int) -> float:
    """The least p-value that so many calibration records give, rounded up to two digits."""
    smallest = 1 / (records + 1)
    unit = 10.0 ** (math.floor(math.log10(smallest)) - 1)
    return float(f"{math.ceil(smallest / unit - 1e-9) * unit:.2g}")


_FOR_TRAINING = (
    "train on more records, raise training.calibration_share, or score with a larger --fpr"
)


def none_flagged(records: int, fpr: float, advice: str = _FOR_TRAINING) -> str | None:
    """A line for people where so few calibration records let nothing be flagged.

    Args:
      records: of the calibration.
      fpr: a flagged record's p-value is at most that.
      advice: what to do, at the end of the line.
    """
    smallest = 1 / (records + 1)
    if smallest <= fpr:
        return None
    return (
        f"{records:,} calibration records give no p-value below {smallest:.2g}, so none is flagged "
        f"at fpr {fpr:g}: that takes {least_to_flag(fpr):,}; {advice}"
    )


def score_threshold(calibration: np.ndarray, fpr: float, tail: ParetoTail | None = None) -> float:
    """The least float32 score whose p-value is at most `fpr`; infinity where no score has one.

    p-values never rise with the score, so that score >= threshold says what p_value <= fpr says,
    of every finite score.

    Args:
      calibration, tail: as for `conformal_p_values`.
    """

    def is_flagged(order: int) -> bool:
        scores = np.array([_ordered_float32(order)])
        return bool(conformal_p_values(scores, calibration, tail)[0] <= fpr)

    greatest = int(np.finfo(np.float32).max.view(np.int32))
    orders = range(-greatest, greatest + 1)
    position = bisect.bisect_left(orders, True, key=is_flagged)
    return float(_ordered_float32(orders[position])) if position < len(orders) else math.inf


def _ordered_float32(order: int) -> np.float32:
    """Finite float32 numbers by their rank: 0 is 0.0, 1 the least positive one, -1 its negative."""
    magnitude = np.int32(abs(order)).view(np.float32)
    return magnitude if order >= 0 else -magnitude
