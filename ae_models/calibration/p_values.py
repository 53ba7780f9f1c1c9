"""Split-conformal p-values against held-out normal records."""

import bisect
import decimal
import math
from fractions import Fraction

import numpy as np

from ae_models.calibration.pareto_tail import ParetoTail

_USUAL_SHARE = 0.1  # of all records, for calibration
_MOST_SHARE = Fraction(9, 20)


def conformal_p_values(
    scores: np.ndarray, calibration: np.ndarray, tail: ParetoTail | None = None
) -> np.ndarray:
    """p = (1 + #{calibration ≥ s}) / (n + 1), (N,) float64 (Vovk et al. 2005).

    Args:
      scores: (N,) float32; NaN gives a p-value of NaN.
      calibration: (n,) float32, sorted in ascending order.
      tail: fitted to `calibration`; gives a score above all calibration scores the tail's p-value,
        if that is below 1 / (n + 1).
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


def usual_calibration(records: int, fpr: float) -> int:
    """The number of records held out for calibration by default: a tenth, or the number needed to
    flag at `fpr`, if that is more and at most 45% of the records.

    No more than needed: only a score above all of 99 to 198 calibration scores has a p-value of
    0.01 or less, so that more calibration records would only raise the threshold.
    """
    tenth, least = round(_USUAL_SHARE * records), least_to_flag(fpr)
    return max(tenth, least) if least <= _MOST_SHARE * records else tenth


def least_in_all(fpr: float) -> int:
    """The least number of records of which `usual_calibration` holds out enough to flag any."""
    return math.ceil(least_to_flag(fpr) / _MOST_SHARE)


def _to_train(records: int, fpr: float) -> str:
    return (
        f"train on at least {least_in_all(fpr):,} records without setting "
        f"training.calibration_share, or score with --fpr {least_rate(records):g} or more"
    )


def least_rate(records: int) -> float:
    """The least p-value with this many calibration records, rounded up to two digits."""
    upwards = decimal.Context(prec=2, rounding=decimal.ROUND_CEILING)
    return float(upwards.divide(decimal.Decimal(1), decimal.Decimal(records + 1)))


def none_flagged(records: int, fpr: float, advice: str | None = None) -> str | None:
    """A line of text if there are too few calibration records to flag anything, or None.

    Args:
      records: the number of calibration records.
      fpr: records are flagged if their p-value is at most this.
      advice: what to do, at the end of the line; None: how to train.
    """
    smallest = 1 / (records + 1)
    if smallest <= fpr:
        return None
    return (
        f"{records:,} calibration records give no p-value below {smallest:.2g}, so nothing can be "
        f"flagged at fpr {fpr:g}, which needs {least_to_flag(fpr):,}; "
        f"{advice or _to_train(records, fpr)}"
    )


def rate_interval(records: int, fpr: float, coverage: float = 0.9) -> tuple[float, float]:
    """The interval of rates at which one set of calibration records flags normal records.

    If scores have no ties, the rate of one set is distributed as Beta(k, n + 1 - k), with
    k = ⌊fpr (n + 1)⌋ (Vovk 2012, "Conditional validity of inductive conformal predictors"); (0, 0)
    if k is 0, as nothing is flagged.

    Args:
      records: n.
      fpr: p-values up to this are flagged.
      coverage: the probability of the interval, with half of the rest on each side.
    """
    from scipy.special import betaincinv  # noqa: PLC0415 - slow to load

    ranks = max(0, int(fpr * (records + 1)) - 1)
    while (ranks + 1) / (records + 1) <= fpr:  # the same comparison as for p-values
        ranks += 1
    if ranks == 0:
        return 0.0, 0.0
    outside = (1 - coverage) / 2
    low, high = betaincinv(ranks, records + 1 - ranks, [outside, 1 - outside])
    return float(low), float(high)


def score_threshold(calibration: np.ndarray, fpr: float, tail: ParetoTail | None = None) -> float:
    """The least float32 score whose p-value is at most `fpr`; infinity if there is none.

    p-values never rise with the score, so that score >= threshold is equivalent to p_value <= fpr
    for every finite score.

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
    """Finite float32 numbers by rank: 0 is 0.0, 1 the least positive one, -1 its negative."""
    magnitude = np.int32(abs(order)).view(np.float32)
    return magnitude if order >= 0 else -magnitude
