"""Intervals of ranking measures: how often they contain the truth, and their variance."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy import special, stats
from sklearn.metrics import average_precision_score

from ae_models.calibration.ranking import Ranked
from ae_models.calibration.ranking_intervals import (
    Measured,
    delong_variance,
    measured_auroc,
    measured_average_precision,
    share_variance,
    student_quantile,
)


def _rankings(anomalous: int, others: int, distance: float, number: int) -> Iterator[Ranked]:
    """Rankings of binormal scores. For the others, only the numbers between two anomalous records
    matter, which are drawn from their multinomial distribution."""
    generator = np.random.default_rng(anomalous)
    for _ in range(number):
        scores = np.sort(generator.normal(distance, 1.0, anomalous))[::-1]
        above = np.concatenate([[0.0], stats.norm.sf(scores), [1.0]])
        places = np.zeros((2, 2 * anomalous + 1), np.int64)
        places[0, 1::2] = 1
        places[1, ::2] = generator.multinomial(others, np.diff(above))
        yield Ranked(*places[:, places.any(axis=0)])


def _true_auroc(distance: float) -> float:
    return float(stats.norm.cdf(distance / np.sqrt(2)))


def _true_average_precision(anomalous: int, others: int, distance: float) -> float:
    """∫ precision d(recall) for this share of records, at the midpoints of a million intervals."""
    recall = (np.arange(1_000_000) + 0.5) / 1_000_000
    false = stats.norm.sf(stats.norm.isf(recall) + distance)
    return float((anomalous * recall / (anomalous * recall + others * false)).mean())


def _coverage(
    measure: Callable[[Ranked], Measured], rankings: Iterator[Ranked], truth: float
) -> float:
    found = [measure(ranked) for ranked in rankings]
    assert all(one.low is not None and one.high is not None for one in found)
    return float(np.mean([one.low <= truth <= one.high for one in found]))  # type: ignore[operator]


_SIZES = [(10, 200_000), (40, 200_000), (100, 200_000), (100, 1_000_000), (40, 360)]


@pytest.mark.parametrize(("anomalous", "records"), _SIZES[:2] + _SIZES[3:4])
def test_the_auroc_of_few_anomalies_is_covered(anomalous: int, records: int) -> None:
    rankings = _rankings(anomalous, records - anomalous, 1.5, 500)
    assert 0.93 <= _coverage(measured_auroc, rankings, _true_auroc(1.5)) <= 0.98


@pytest.mark.parametrize(("anomalous", "records", "least"), [(40, 200_000, 0.9), (40, 360, 0.93)])
def test_the_average_precision_of_few_anomalies_is_covered(
    anomalous: int, records: int, least: float
) -> None:
    others = records - anomalous
    truth = _true_average_precision(anomalous, others, 2.0)
    rankings = _rankings(anomalous, others, 2.0, 500)
    assert least <= _coverage(measured_average_precision, rankings, truth) <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("distance", [0.5, 1.0, 2.0, 3.0, 4.0])
@pytest.mark.parametrize(("anomalous", "records"), _SIZES)
def test_coverage_at_any_distance(anomalous: int, records: int, distance: float) -> None:
    others = records - anomalous
    rankings = list(_rankings(anomalous, others, distance, 2000))
    area = _coverage(measured_auroc, iter(rankings), _true_auroc(distance))
    truth = _true_average_precision(anomalous, others, distance)
    precision = _coverage(measured_average_precision, iter(rankings), truth)
    print(f"{anomalous} of {records}, AUROC {_true_auroc(distance):.4f}: {area:.1%} covered; "
          f"average precision {truth:.2g}: {precision:.1%}")  # fmt: skip
    few = anomalous == 10
    assert 0.92 <= area <= (0.985 if few else 0.97)
    assert (0.88 if few else 0.915) <= precision <= 0.995


def test_the_models_variance_and_students_quantiles_are_scipys() -> None:
    for quantile in (-6.0, -2.5, 0.0, 0.3, 1.0, 4.0, 7.0):
        both = stats.norm.cdf(quantile) * stats.norm.sf(quantile)
        expected = both - 2 * special.owens_t(quantile, 1 / np.sqrt(3))
        assert share_variance(quantile) == pytest.approx(expected, rel=1e-6, abs=1e-30)
    assert share_variance(0.0) == pytest.approx(1 / 12)  # for a uniform share
    for freedom, tolerance in ((1, 0.15), (2, 0.01), (3, 2e-3), (9, 1e-4), (99.5, 1e-8)):
        expected = stats.t.ppf(0.975, freedom)
        assert student_quantile(freedom, 0.95) == pytest.approx(expected, rel=tolerance)


def test_the_variance_is_delongs() -> None:
    generator = np.random.default_rng(0)
    for size in ((3, 4), (12, 50), (40, 7)):
        # Rounded: many are equal.
        one, other = (
            np.round(generator.normal(d, 1, n), 1) for d, n in zip((0.7, 0), size, strict=True)
        )
        wins = np.heaviside(one[:, None] - other, 0.5)
        brute = wins.mean(1).var(ddof=1) / size[0] + wins.mean(0).var(ddof=1) / size[1]
        ranked = Ranked.of(one, np.sort(other))
        assert delong_variance(ranked) == pytest.approx(brute, rel=1e-12)


def test_of_many_records_the_interval_is_delongs() -> None:
    generator = np.random.default_rng(1)
    ranked = Ranked.of(generator.normal(1, 1.3, 4000), np.sort(generator.normal(size=20_000)))
    found = measured_auroc(ranked)
    width = 2 * stats.norm.ppf(0.975) * np.sqrt(delong_variance(ranked))
    assert found.high - found.low == pytest.approx(width, rel=0.02)  # type: ignore[operator]
    assert found.low < found.value < found.high  # type: ignore[operator]


def test_of_many_records_the_average_precisions_is_the_bootstraps() -> None:
    generator = np.random.default_rng(2)
    one, other = np.round(generator.normal(1.5, 1, 400), 2), generator.normal(size=3000).round(2)
    labels = np.repeat([1, 0], [len(one), len(other)])
    drawn = [
        average_precision_score(
            labels, np.concatenate([generator.choice(kind, len(kind)) for kind in (one, other)])
        )
        for _ in range(300)
    ]
    found = measured_average_precision(Ranked.of(one, np.sort(other)))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert found.high - found.low == pytest.approx(high - low, rel=0.2)  # type: ignore[operator]


@pytest.mark.parametrize("measure", [measured_auroc, measured_average_precision])
def test_perfect_rankings_are_not_certain_and_one_record_has_no_interval(
    measure: Callable[[Ranked], Measured],
) -> None:
    apart = [Ranked(np.array([n, 0]), np.array([0, 1000])) for n in (1, 5, 50)]
    one, few, many = map(measure, apart)
    assert (one.value, one.low, one.high) == (1.0, None, None)
    assert (few.high, many.high) == (1.0, 1.0)
    assert 0.5 < few.low < many.low < 1.0  # type: ignore[operator]


def test_a_ranking_that_is_turned_round_has_the_interval_turned_round() -> None:
    generator = np.random.default_rng(3)
    one, other = generator.normal(1, 1, 20), generator.normal(size=300)
    found = measured_auroc(Ranked.of(one, np.sort(other)))
    turned = measured_auroc(Ranked.of(-one, np.sort(-other)))
    assert turned.value == pytest.approx(1 - found.value)
    assert turned.low == pytest.approx(1 - found.high)  # type: ignore[operator]
    assert turned.high == pytest.approx(1 - found.low)  # type: ignore[operator]
