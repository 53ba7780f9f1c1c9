"""The Benjamini-Hochberg procedure over p-values that are streamed and never held in memory."""

import dataclasses
from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np

from ae_models.config.validated import check_range, check_rate

PValueBatches = Callable[[], Iterable[np.ndarray]]
_BINS = 65_536


@dataclasses.dataclass(frozen=True)
class Rejections:
    """The number of significant p-values, and the threshold that exactly these do not exceed."""

    count: int
    threshold: float


def benjamini_hochberg(
    batches: PValueBatches, tests: int, rate: float, bins: int = _BINS
) -> Rejections:
    """The step-up rule: the greatest k with #{p ≤ t(k)} ≥ k, where t(k) = rate · k / tests.

    It keeps the expected share of false rejections at `rate` (Benjamini and Hochberg 1995), also
    for conformal p-values that share their calibration records (Bates et al. 2023).

    Let C(k) = #{p ≤ t(k)}, which never falls as k grows, so for the answer k* and any k ≥ k*,
    C(k) ≥ C(k*) ≥ k*: the iteration k ← C(k) from above stays at or above k*, falls until
    C(k) = k, and then k ≤ k* by the rule. Each pass counts C at the edges of a grid rather than at
    one k, and so brackets k* within about one bin; two or three passes suffice, except for p-values
    constructed to be close to the line t over long stretches.

    Args:
      batches: a function that returns the same (N,) float64 p-values at every call; each call is
        one pass. NaN is never rejected.
      tests: the number of p-values, including NaN, which count as 1.
      rate: the false discovery rate, interpreted as the decimal that it prints as, 0.1 as 1/10.
      bins: the number of bins of the grid; they and one batch bound the memory.

    Raises:
      ConfigError: `rate` is not above 0 and below 1, `tests` is negative, or `bins` is less than 1.
    """
    check_rate(rate=rate)
    check_range(0, tests=tests)
    check_range(1, bins=bins)
    low, high = 0, tests  # C(low) ≥ low, and k* ≤ high
    while low < high:
        edges = np.linspace(low, high, min(bins, high - low) + 1).astype(np.int64)
        counts = _counts_up_to(_thresholds(edges, tests, rate), batches())
        low, high = _bracket(edges, counts)
    (threshold,) = _thresholds(np.array([low]), tests, rate)
    return Rejections(low, float(threshold))


def _thresholds(ranks: np.ndarray, tests: int, rate: float) -> np.ndarray:
    """t(k) for each k, rounded once, as p-values are: they are equal if the exact ratios are."""
    exact = Fraction(str(float(rate)))
    numerator, denominator = exact.numerator, exact.denominator * max(tests, 1)
    return np.array([numerator * k / denominator for k in ranks.tolist()])


def _counts_up_to(thresholds: np.ndarray, batches: Iterable[np.ndarray]) -> np.ndarray:
    """The number of p-values at most each of the ascending thresholds."""
    counts = np.zeros(len(thresholds), np.int64)
    for p_values in batches:
        within = p_values[p_values <= thresholds[-1]]
        first = np.searchsorted(thresholds, within, side="left")
        counts += np.bincount(first, minlength=len(thresholds))
    return np.cumsum(counts)


def _bracket(edges: np.ndarray, counts: np.ndarray) -> tuple[int, int]:
    """Bounds of k* from C at the edges, the first of which is a lower bound.

    If C(k) ≥ k, then C(C(k)) ≥ C(k), so C(k) is a lower bound. A k in the bin (a, b] can only
    satisfy the rule if C(b) > a, and is then at most C(b) and b.
    """
    low = int(counts[counts >= edges][-1])
    possible = np.flatnonzero(counts[1:] > edges[:-1]) + 1
    if len(possible) == 0:
        return low, low
    last = possible[-1]
    return low, max(low, int(min(edges[last], counts[last])))
