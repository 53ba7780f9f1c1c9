"""Scores compared with those of the calibration, checked against SciPy on entire samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from ae_models.calibration.drift import ScoreCounts

_few_values = arrays(
    np.float32, st.integers(1, 40), elements=st.integers(-5, 5).map(lambda value: value / 4)
)


@settings(deadline=None)
@given(_few_values, _few_values)
def test_the_distance_is_scipys(run: np.ndarray, reference: np.ndarray) -> None:
    counts = ScoreCounts(reference)
    for part in np.array_split(run, 3):
        counts.add(part)
    drift = counts.drift()
    with np.errstate(divide="ignore"):  # in SciPy's p-value for single numbers
        expected = stats.ks_2samp(run.astype(float), reference.astype(float), method="asymp")
    assert drift.records == len(run)
    assert drift.distance == pytest.approx(expected.statistic, abs=1e-12)
    middle = float(np.quantile(reference, 0.5, method="inverted_cdf"))
    assert counts.share_above(middle) == pytest.approx((run > middle).mean())


def test_which_side_the_run_lies_on(generator: np.random.Generator) -> None:
    reference = generator.normal(size=500).astype(np.float32)
    for shift, higher in ((2.0, True), (-2.0, False)):
        counts = ScoreCounts(reference)
        counts.add(generator.normal(shift, size=300).astype(np.float32))
        drift = counts.drift()
        assert drift.higher is higher
        assert drift.beyond_chance


def test_chance_alone_exceeds_its_bound_once_in_a_hundred(generator: np.random.Generator) -> None:
    beyond = 0
    for _ in range(1000):
        counts = ScoreCounts(generator.normal(size=300))
        counts.add(generator.normal(size=400))
        beyond += counts.drift().beyond_chance
    assert 1 <= beyond <= 22  # Binomial(1000, 0.01), 4 standard deviations; SciPy's law is a bound


def test_no_numbers_do_not_count() -> None:
    counts = ScoreCounts(np.array([1.0, 2.0]))
    assert counts.drift().distance == 0
    counts.add(np.array([np.nan, 1.0, np.nan]))
    assert counts.drift().records == 1
