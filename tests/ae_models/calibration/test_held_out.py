"""The number of calibration records and the flags it allows, against SciPy and by simulation."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ae_models.calibration.p_values import (
    conformal_p_values,
    least_in_all,
    least_to_flag,
    none_flagged,
    rate_interval,
    usual_calibration,
)
from tests.support.pages import DOCS

_RATES = st.floats(1e-4, 0.9)


@pytest.mark.parametrize(
    ("records", "calibration"),
    [
        *((24, 2), (219, 22), (220, 99), (240, 99), (490, 99), (990, 99), (999, 100)),
        *((1000, 100), (1797, 180), (60_000, 6000)),
    ],
)
def test_as_many_calibrate_as_flags_take(records: int, calibration: int) -> None:
    assert usual_calibration(records, 0.01) == calibration


@given(records=st.integers(1, 10**6), fpr=_RATES)
def test_a_tenth_at_least_and_no_more_than_training_can_spare(records: int, fpr: float) -> None:
    held_out, tenth = usual_calibration(records, fpr), round(0.1 * records)
    assert tenth <= held_out <= max(tenth, 0.45 * records)
    assert held_out == tenth or held_out == least_to_flag(fpr)
    if records >= least_in_all(fpr):
        assert conformal_p_values(np.ones(1), np.zeros(held_out))[0] <= fpr


@given(fpr=_RATES)
def test_the_least_number_in_all_is_the_least(fpr: float) -> None:
    least = least_in_all(fpr)
    assert none_flagged(usual_calibration(least, fpr), fpr) is None
    if least > 1:
        assert none_flagged(round(0.45 * (least - 1) - 0.5), fpr) is not None


@given(records=st.integers(0, 5000), fpr=_RATES)
def test_what_is_said_lets_records_be_flagged(records: int, fpr: float) -> None:
    told = none_flagged(records, fpr)
    smallest = conformal_p_values(np.ones(1), np.zeros(records))[0]
    assert (told is None) == (smallest <= fpr)
    if told is not None:
        assert float(told.rpartition("--fpr ")[2].split()[0]) >= smallest


def test_what_is_said_of_a_hundred_records() -> None:
    assert none_flagged(10, 0.01) == (
        "10 calibration records give no p-value below 0.091, so nothing can be flagged at fpr "
        "0.01, which needs 99; train on at least 220 records without setting "
        "training.calibration_share, or score with --fpr 0.091 or more"
    )


@given(records=st.integers(1, 20_000), data=st.data(), coverage=st.floats(0.1, 0.99))
def test_the_interval_is_scipys(records: int, data: st.DataObject, coverage: float) -> None:
    p_values = np.arange(1, records + 2) / (records + 1)  # all possible ones
    at_one = float(p_values[data.draw(st.integers(0, records - 1))])
    fpr = data.draw(_RATES | st.sampled_from([at_one, float(np.nextafter(at_one, 0))]))
    flagged = int(np.count_nonzero(p_values <= fpr))
    found = rate_interval(records, fpr, coverage)
    if flagged == 0:
        assert found == (0, 0)
    else:
        expected = stats.beta(flagged, records + 1 - flagged).interval(coverage)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize(("records", "fpr"), [(99, 0.01), (98, 0.01), (200, 0.05), (1000, 0.01)])
def test_rates_of_calibration_sets_are_distributed_so(
    records: int, fpr: float, generator: np.random.Generator
) -> None:
    scores = (np.arange(20_000) + 0.5) / 20_000  # of all normal records: uniform
    calibrations = np.sort(generator.random((2000, records)), axis=1)
    rates = np.array([np.mean(conformal_p_values(scores, c) <= fpr) for c in calibrations])
    low, high = rate_interval(records, fpr)
    if records < least_to_flag(fpr):
        assert (low, high, rates.max()) == (0, 0, 0)
        return
    assert np.mean(rates < low) == pytest.approx(0.05, abs=0.02)
    assert np.mean(rates > high) == pytest.approx(0.05, abs=0.02)
    assert rates.mean() == pytest.approx(int(fpr * (records + 1) + 1e-9) / (records + 1), rel=0.1)


def test_the_table_of_the_page_is_scipys() -> None:
    page = (DOCS / "reference" / "scores.md").read_text(encoding="utf-8")
    numbers, low, high = (
        [
            cell.strip()
            for cell in re.findall(rf"^\| {row} \|(.*)\|$", page, re.MULTILINE)[0].split("|")
        ]
        for row in ("n", "rate from", "to")
    )
    assert numbers == ["99", "200", "1,000", "10,000"]
    for number, *rates in zip(numbers, low, high, strict=True):
        n = int(number.replace(",", ""))
        expected = stats.beta(round(0.01 * n), n + 1 - round(0.01 * n)).ppf([0.05, 0.95])
        assert rates == [f"{rate:.2%}" for rate in expected]
