"""Ranking measures against scikit-learn."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from ae_models.calibration.ranking import Ranked, auroc, average_precision

# Few values: most records tie with others.
_TIED = st.integers(-3, 3).map(float)
_ANY = st.integers(-(2**20), 2**20).map(lambda number: number / 64)
_KIND = st.one_of(st.lists(_TIED, min_size=1, max_size=30), st.lists(_ANY, min_size=1, max_size=30))


@settings(deadline=None)  # the first call imports
@given(_KIND, _KIND, st.randoms())
def test_both_are_scikit_learns(
    anomalous: list[float], others: list[float], random: Random
) -> None:
    records = [(True, value) for value in anomalous] + [(False, value) for value in others]
    random.shuffle(records)
    truth = np.array([true for true, _ in records])
    scores = np.array([value for _, value in records], np.float32)
    assert auroc(truth, scores) == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    expected = average_precision_score(truth, scores)
    assert average_precision(truth, scores) == pytest.approx(expected, abs=1e-12)


def test_the_best_the_worst_and_none_that_tells() -> None:
    truth = np.array([True, False, True, False])
    assert auroc(truth, np.array([3.0, 1.0, 2.0, 0.0])) == 1.0
    assert auroc(truth, np.array([0.0, 2.0, 1.0, 3.0])) == 0.0
    assert auroc(truth, np.ones(4)) == 0.5
    assert average_precision(truth, np.ones(4)) == 0.5


def test_counts_of_many_records_do_not_overflow() -> None:
    truth = np.arange(400_000) % 2 == 0
    assert auroc(truth, truth.astype(np.float32)) == 1.0


@settings(deadline=None)
@given(_KIND, _KIND)
def test_a_ranking_counts_each_record_once(anomalous: list[float], others: list[float]) -> None:
    ranked = Ranked.of(np.array(anomalous), np.sort(np.array(others)))
    assert (ranked.anomalous.sum(), ranked.others.sum()) == (len(anomalous), len(others))
    assert (ranked.anomalous + ranked.others).min() > 0
    truth = np.repeat([True, False], [len(anomalous), len(others)])
    false, true, _ = roc_curve(truth, np.array([*anomalous, *others]), drop_intermediate=False)
    curve = np.stack([ranked.others_above / len(others), ranked.anomalous_above / len(anomalous)])
    points = {tuple(point) for point in np.round(np.stack([false, true], 1), 9).tolist()}
    assert {tuple(point) for point in np.round(curve.T, 9).tolist()} <= points
