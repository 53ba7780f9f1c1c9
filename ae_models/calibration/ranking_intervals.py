"""Confidence intervals of ranking measures: closed forms that are valid for few anomalous records
among very many others, where resampling both kinds alike is not."""

import dataclasses
import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from ae_models.calibration.ranking import Ranked

# The weight of the binormal model's variance, in records of each kind: enough that ten records that
# happen to be alike do not give an interval of zero width.
_MODEL_RECORDS = 40
_WIDEST = 7.0  # a normal quantile, exceeded by one record in 10¹²
_HALVINGS, _MOST_LOGITS = 50, 700.0
_NORMAL = NormalDist()
# Gauss-Legendre nodes from 0 to 1/√3, as 1 + x², and their weights divided by that. SciPy provides
# all of this, but takes longer to load than `evaluate` takes to start.
_PLACES, _SHARES = np.polynomial.legendre.leggauss(40)
_SQUARES = 1 + (_PLACES + 1) ** 2 / 12
_WEIGHTS = _SHARES / (2 * math.sqrt(3)) / _SQUARES


@dataclasses.dataclass(frozen=True)
class Measured:
    """A measure and the ends of its interval, which are None if a kind has only one record."""

    value: float
    low: float | None
    high: float | None


def measured_auroc(ranked: Ranked, confidence: float = 0.95) -> Measured:
    """AUROC, with DeLong's variance in a score interval.

    DeLong, DeLong and Clarke-Pearson (1988): the variance is s₁²/m + s₀²/n, where s₁² is the
    variance over the m anomalous records of the share of the others below each, and s₀² that over
    the n others of the share of the anomalous above each. For few records near the end of a ranking
    it is far too small, and the interval around the estimate is on the wrong side of it.

    So the interval contains the areas θ with (θ̂ − θ)² ≤ t²·V(θ)·(c₁/m + c₀/n), like Wilson's
    (1927) for a proportion; with c = s² / V(θ̂) it would be DeLong's at the estimate. V(θ) is the
    variance of one such share if both kinds are normal with the same variance (Obuchowski 1994):
    V(θ) = θ(1 − θ) − 2·T(Φ⁻¹(θ), 1/√3) with Owen's T. A c below 1 is averaged with 1 as if 40
    further records had it; t has Satterthwaite's degrees of freedom.

    Measured for binormal scores with areas from 0.64 to 0.998: of 95% intervals, 95 to 98 in 100
    cover with 10 anomalous records of 200,000, 93 to 97 with 40 or 100.

    Args:
      ranked: a ranking with records of both kinds.
      confidence: the interval's level, between 0 and 1.
    """
    value = ranked.auroc()
    parts = [
        (ranked.anomalous, ranked.others_share_below),
        (ranked.others, ranked.anomalous_share_above),
    ]
    if min(counts.sum() for counts, _ in parts) < 2:
        return Measured(value, None, None)
    model = share_variance(_normal_quantile(value))
    variances, freedoms = zip(
        *(_pooled(counts, shares, value, model) for counts, shares in parts), strict=True
    )
    spread = _quantile(variances, freedoms, confidence) * math.sqrt(sum(variances))
    return Measured(value, _lowest(value, spread), 1 - _lowest(1 - value, spread))


def measured_average_precision(ranked: Ranked, confidence: float = 0.95) -> Measured:
    """Average precision, for the share of anomalous records in `ranked`.

    The variance is that of the measure's influence function, which has a part from each kind (like
    DeLong's for the AUROC). The interval is symmetrical for log(AP / (1 − AP)), by Student's t with
    Satterthwaite's degrees of freedom. An anomalous record counts in its own precision, although
    another one with the same score would not find it there, so that the estimate is too high if few
    are above all others; the interval therefore also covers that of the estimate with half a record
    moved from the one kind to the other at each place.

    Measured for binormal scores: of 95% intervals, 89 to 98 in 100 cover with 10 anomalous records
    of 200,000, 92 to 98 with 40 of 200,000 or 100 of 1,000,000. The lowest are those where the
    estimate depends on whether one anomalous record is above all others.

    Args:
      ranked: a ranking with records of both kinds.
      confidence: the interval's level, between 0 and 1.
    """
    value = ranked.average_precision()
    if min(ranked.anomalous_above[-1], ranked.others_above[-1]) < 2:
        return Measured(value, None, None)
    lows, highs = zip(*(_precision_ends(ranked, moved, confidence) for moved in (0, 0.5)),
                      strict=True)  # fmt: skip
    return Measured(value, min(lows), max(highs))


def delong_variance(ranked: Ranked) -> float:
    """s₁²/m + s₀²/n, DeLong's variance of the AUROC."""
    value = ranked.auroc()
    return _mean_variance(ranked.anomalous, ranked.others_share_below - value) + _mean_variance(
        ranked.others, ranked.anomalous_share_above - value
    )


def _mean_variance(counts: np.ndarray, deviations: np.ndarray) -> float:
    """The variance of the mean of sum(counts) values, given their deviations from it."""
    number = int(counts.sum())
    return float(counts @ deviations**2) / (number - 1) / number


def _pooled(
    counts: np.ndarray, shares: np.ndarray, value: float, model: float
) -> tuple[float, float]:
    """c/m for a kind with m records, and its degrees of freedom."""
    number = int(counts.sum())
    if not model:  # all records of one kind are above all of the other
        return 1 / number, number - 1 + _MODEL_RECORDS
    own = _mean_variance(counts, shares - value) * number / model
    if own >= 1:
        return own / number, number - 1
    freedom = number - 1 + _MODEL_RECORDS
    return ((number - 1) * own + _MODEL_RECORDS) / freedom / number, freedom


def _quantile(variances: Sequence[float], freedoms: Sequence[float], confidence: float) -> float:
    """Student's t for a sum of variances (Satterthwaite 1946)."""
    parts = sum(v**2 / freedom for v, freedom in zip(variances, freedoms, strict=True))
    return student_quantile(sum(variances) ** 2 / parts if parts else math.inf, confidence)


def student_quantile(freedom: float, confidence: float) -> float:
    """The value that |t| of Student's t does not exceed with this probability: the normal quantile
    and four terms in 1 / freedom (Abramowitz and Stegun 1964, 26.7.5). At 95%, the error is 0.1%
    with 3 degrees of freedom and 11% with 1."""
    x = _NORMAL.inv_cdf((1 + confidence) / 2)
    terms = (
        x,
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))


def _lowest(value: float, spread: float) -> float:
    """The least θ with value ≤ θ + spread·√V(θ): below `value` the sum rises with θ."""

    def is_reached(quantile: float) -> bool:
        return _below(quantile) + spread * math.sqrt(share_variance(quantile)) >= value

    low, high = -_WIDEST, _normal_quantile(value)
    if is_reached(low):
        return 0.0
    if not is_reached(high):
        return value
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if is_reached(middle) else (middle, high)
    return _below(high)


def _below(quantile: float) -> float:
    """Φ, equally precise far below and far above 0."""
    return math.erfc(-quantile / math.sqrt(2)) / 2


def _normal_quantile(probability: float) -> float:
    if not 0 < probability < 1:
        return math.copysign(_WIDEST, probability - 0.5)
    return min(max(_NORMAL.inv_cdf(probability), -_WIDEST), _WIDEST)


def share_variance(quantile: float) -> float:
    """V at θ = Φ(quantile), where Owen's T is ∫ exp(−q²(1 + x²)/2) / (1 + x²) dx / 2π from 0 to
    1/√3 = √((1 − r) / (1 + r)), at a correlation r of 1/2."""
    owens_t = _WEIGHTS @ np.exp(-(quantile**2) / 2 * _SQUARES) / (2 * math.pi)
    both = _below(quantile) * _below(-quantile)
    return max(0.0, float(both - 2 * owens_t))


def _precision_ends(ranked: Ranked, moved: float, confidence: float) -> tuple[float, float]:
    """The interval of the average precision with `moved` records moved at each place."""
    true, false = ranked.anomalous_above - moved, ranked.others_above + moved
    m, n = int(ranked.anomalous.sum()), int(ranked.others.sum())
    weights, total = ranked.anomalous / m, true + false
    precision = true / total
    value = float(weights @ precision)
    # The precision's derivatives by each kind's share above, R = true / m and Q = false / n.
    by_true, by_false = weights * m * false / total**2, -weights * n * true / total**2
    influence = precision - value + _from_here(by_true) - by_true @ true / m
    other_influence = _from_here(by_false) - by_false @ false / n
    variances = (
        _mean_variance(ranked.anomalous, influence),
        _mean_variance(ranked.others, other_influence),
    )
    if not 0 < value < 1 or not sum(variances):
        return value, value
    spread = _quantile(variances, (m - 1, n - 1), confidence) * math.sqrt(sum(variances))
    odds, factor = value / (1 - value), math.exp(min(spread / (value * (1 - value)), _MOST_LOGITS))
    return odds / (odds + factor), odds / (odds + 1 / factor)


def _from_here(values: np.ndarray) -> np.ndarray:
    """Σ_(k ≥ i) values_k, for each place i."""
    return np.cumsum(values[::-1])[::-1]
