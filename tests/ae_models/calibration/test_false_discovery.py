"""The Benjamini-Hochberg procedure, streamed, against SciPy and rational arithmetic."""

import weakref
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ae_models.calibration.false_discovery import Rejections, benjamini_hochberg

RATES = st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9])
# Few values, so that many are equal, and products such as 0.1 · 70 / 100 that floats round.
RATIOS = st.sampled_from([10, 37, 100, 150]).flatmap(
    lambda n: st.lists(st.integers(1, n).map(lambda k: Fraction(k, n)), min_size=1, max_size=60)
)


def _reject(
    p_values: np.ndarray, rate: float, batch: int = 7, bins: int = 65_536
) -> tuple[Rejections, int]:
    """The rejected p-values, and the number of passes."""
    passes = 0

    def batches() -> Iterator[np.ndarray]:
        nonlocal passes
        passes += 1
        for start in range(0, len(p_values), batch):
            yield p_values[start : start + batch]

    return benjamini_hochberg(batches, len(p_values), rate, bins), passes


def _by_the_book(p_values: list[Fraction], rate: Fraction) -> int:
    """The greatest k whose k-th smallest p-value is at most rate · k / m, without rounding."""
    ordered = sorted(p_values)
    ranks = range(1, len(ordered) + 1)
    return max((k for k in ranks if ordered[k - 1] <= rate * k / len(ordered)), default=0)


@settings(deadline=None, max_examples=300)
@given(ratios=RATIOS, rate=RATES, batch=st.sampled_from([1, 3, 100]), bins=st.integers(1, 70))
def test_ties_are_exact(ratios: list[Fraction], rate: float, batch: int, bins: int) -> None:
    p_values = np.array([float(ratio) for ratio in ratios])
    rejected, _ = _reject(p_values, rate, batch, bins)
    assert rejected.count == _by_the_book(ratios, Fraction(str(rate)))
    assert rejected.count == np.sum(p_values <= rejected.threshold)
    # SciPy computes rate · k / m in another order, with rounding below any difference of these.
    by_scipy = stats.false_discovery_control(p_values, method="bh") <= rate * (1 + 1e-12)
    np.testing.assert_array_equal(p_values <= rejected.threshold, by_scipy)


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**32), size=st.integers(1, 3000), rate=RATES, power=st.integers(1, 4))
def test_distinct_p_values_are_rejected_as_by_scipy(
    seed: int, size: int, rate: float, power: int
) -> None:
    p_values = np.random.default_rng(seed).uniform(size=size) ** power
    rejected, _ = _reject(p_values, rate, batch=100, bins=11)
    by_scipy = stats.false_discovery_control(p_values, method="bh") <= rate
    np.testing.assert_array_equal(p_values <= rejected.threshold, by_scipy)


@pytest.mark.parametrize(
    ("p_values", "rate", "count"),
    [
        ([0.1], 0.1, 1),
        ([0.1], 0.09, 0),
        ([0.1, 0.1, 0.1], 0.1, 3),  # 0.1 · 3 / 3 is more than 0.1 in floats
        ([0.07] * 70 + [1.0] * 30, 0.1, 70),
        ([0.07] * 69 + [1.0] * 31, 0.1, 0),
        ([0.9, 0.9, 0.95], 0.95, 3),  # all, because of the greatest alone
        ([0.0, 0.5], 0.01, 1),
        ([1.0, 1.0], 0.5, 0),
        ([], 0.5, 0),
    ],
)
def test_cases_by_hand(p_values: list[float], rate: float, count: int) -> None:
    rejected, _ = _reject(np.array(p_values), rate)
    assert rejected.count == count
    assert rejected.threshold == pytest.approx(rate * count / max(len(p_values), 1))


def test_not_a_number_counts_as_a_test_and_is_never_rejected() -> None:
    p_values = np.array([0.05, np.nan, 0.05, np.nan])
    assert (
        _reject(p_values, 0.1)[0].count == _reject(np.nan_to_num(p_values, nan=1.0), 0.1)[0].count
    )
    assert _reject(p_values, 0.1)[0].count == 2
    assert _reject(p_values, 0.09)[0].count == 0
    assert _reject(np.full(3, np.nan), 0.9)[0].count == 0


@pytest.mark.parametrize("rate", [0.1, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["null", "mixed", "conformal"])
def test_few_passes_suffice(kind: str, rate: float, generator: np.random.Generator) -> None:
    """Plain iteration of the count takes up to log(m) / log(1 / rate) passes."""
    p_values = generator.uniform(size=1_000_000)
    if kind != "null":
        p_values[:20_000] *= 1e-4
    if kind == "conformal":
        p_values = np.ceil(p_values * 5000) / 5000
    rejected, passes = _reject(p_values, rate, batch=100_000, bins=1000)
    assert passes <= 4
    adjusted = stats.false_discovery_control(p_values, method="bh")
    assert rejected.count == np.sum(adjusted <= rate * (1 + 1e-12))


def test_a_gap_in_the_p_values_ends_the_search() -> None:
    p_values = np.repeat([0.05, 1.0], 500)
    assert _reject(p_values, 0.5, bins=3) == (Rejections(500, 0.25), 1)


def test_no_more_than_a_batch_is_held() -> None:
    alive: set[int] = set()
    most = 0

    def batches() -> Iterator[np.ndarray]:
        nonlocal most
        generator = np.random.default_rng(3)
        for number in range(500):
            part = generator.uniform(size=1000)
            alive.add(number)
            weakref.finalize(part, alive.discard, number)
            most = max(most, len(alive))
            yield part
            del part

    rejected = benjamini_hochberg(batches, 500_000, 0.5, bins=100)
    assert most <= 2, "the one at hand, and the one before it until it is let go"
    assert rejected.count == np.sum(np.concatenate(list(batches())) <= rejected.threshold)
