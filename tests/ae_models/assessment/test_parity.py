"""Keras against the SavedModel, in units that matter."""

from typing import Any

import numpy as np
import pytest

from ae_models.assessment.parity import Agreement, agreements
from ae_models.scores import Score


class _Error(Score):
    name = "error"

    def __call__(self, x: Any, outputs: Any) -> Any:
        raise NotImplementedError


def _compared(expected: np.ndarray, actual: np.ndarray) -> Agreement:
    (found,) = agreements({"score_error": expected}, {"score_error": actual}, [_Error()])
    return found


def _normal(mean: float, spread: float, count: int = 64) -> np.ndarray:
    return (mean + spread * np.random.default_rng(0).standard_normal(count)).astype(np.float32)


@pytest.mark.parametrize(
    ("mean", "spread", "difference", "holds"),
    [
        (1.0, 0.1, 0.0, True),
        (1.0, 0.1, 5e-5, True),  # 18 millionths of the magnitude failed; of the spread it is less
        (1.0, 0.1, 1e-3, False),
        (0.0, 0.1, 5e-5, True),  # a difference of two large numbers
        (0.0, 1e-12, 1e-10, True),  # a residual of 1e-5 is negligible
        (1e-3, 1e-4, 1e-6, False),
        (1e6, 1.0, 0.5, True),  # float32 has no more digits
        (1e6, 1.0, 100.0, False),
    ],
)
def test_differences_are_of_the_spread_but_no_less_than_rounding(
    mean: float, spread: float, difference: float, holds: bool
) -> None:
    expected = _normal(mean, spread)
    actual = expected.astype(np.float64)
    actual[9] += difference
    found = _compared(expected, actual)
    assert found.holds is holds
    assert found.difference == pytest.approx(difference)
    assert found.spread == pytest.approx(spread, rel=0.3, abs=0.1 if mean == 1e6 else 0)


def test_one_odd_record_makes_no_spread() -> None:
    expected = _normal(1.0, 0.01)
    expected[3] = 1e4
    actual = expected.copy()
    actual[9] += np.float32(0.5)
    assert not _compared(expected, actual).holds


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_differs(value: float) -> None:
    expected = _normal(1.0, 0.1)
    actual = expected.copy()
    actual[5] = value
    with np.errstate(invalid="ignore"):
        assert not _compared(expected, actual).holds
        assert not _compared(actual, actual).holds


@pytest.mark.parametrize(
    ("spread", "difference", "distinct"),
    [(0.1, 0.0, True), (0.0, 0.0, False), (1e-7, 0.0, False), (1e-5, 9e-6, False)],
)
def test_a_score_whose_spread_is_rounding_tells_nothing(
    spread: float, difference: float, distinct: bool
) -> None:
    expected = _normal(1.0, spread)
    actual = expected.copy()
    actual[9] += np.float32(difference)
    found = _compared(expected, actual)
    assert found.holds
    assert found.distinct is distinct


@pytest.mark.parametrize(
    ("expected", "actual", "holds"),
    [
        ([[3.0, 0.0], [1.0, 4.0]], [[3.0, 2e-5], [1.0, 4.0]], True),
        ([[3.0, 0.0], [1.0, 4.0]], [[3.0, 1e-4], [1.0, 4.0]], False),
        ([[0.0, 0.0]], [[0.0, 5e-7]], True),
        ([[0.0, 0.0]], [[0.0, 5e-6]], False),
        ([[1.0, np.nan]], [[1.0, np.nan]], False),
    ],
)
def test_latents_are_of_the_magnitude_of_the_record(
    expected: list, actual: list, holds: bool
) -> None:
    (found,) = agreements(
        {"latent_mean": np.array(expected, np.float32)}, {"latent_mean": np.array(actual)}, []
    )
    assert found.holds is holds
    assert found.distinct
