"""How far two computations of the same scores differ, in units that matter."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from ae_models.bundles.names import SCORE_PREFIX
from ae_models.scores import Score

_OF_SPREAD = 1e-3  # of the spread over normal records: p-values move by less than one in a thousand
_LATENT_RELATIVE, _LATENT_RESOLUTION = 1e-5, 1e-6
_LAST_BITS = 4 * float(np.finfo(np.float32).eps)
_DISTINCT = 10.0  # roundings that a score's spread must exceed for it to distinguish records


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How closely Keras and the SavedModel agree on one output of the same records.

    Attributes:
      name: the output's name.
      difference: the difference for the record that exceeds its allowance most.
      allowed: the difference allowed for that record.
      spread: half the distance from the 16th to the 84th percentile over the records, comparable
        to a standard deviation; infinite for a latent, whose spread is not measured.
      rounding: the variation known to be noise: the greatest difference, or a few last bits.
    """

    name: str
    difference: float
    allowed: float
    spread: float
    rounding: float

    @property
    def holds(self) -> bool:
        return self.difference <= self.allowed

    @property
    def distinct(self) -> bool:
        """Whether records differ in this output by more than rounding."""
        return self.spread > _DISTINCT * self.rounding


def agreements(
    by_keras: Mapping[str, np.ndarray],
    by_saved_model: Mapping[str, np.ndarray],
    scores: Sequence[Score],
) -> list[Agreement]:
    """Compares the outputs for the same normal records, each (N,), or (N, d) for a latent."""
    known = {SCORE_PREFIX + score.name: score for score in scores}
    with np.errstate(invalid="ignore"):  # where both are infinite, their difference is NaN
        return [
            _of_score(name, value, by_saved_model[name], known[name])
            if name in known
            else _of_latent(name, value, by_saved_model[name])
            for name, value in by_keras.items()
        ]


def _of_score(name: str, expected: np.ndarray, actual: np.ndarray, score: Score) -> Agreement:
    difference = np.abs(expected.astype(np.float64) - actual)
    mean = float(np.abs(expected).mean())
    low, high = np.quantile(expected, [0.16, 0.84])
    spread = float(high - low) / 2
    allowed = np.maximum(score.parity * np.maximum(np.abs(expected), mean), score.resolution)
    rounding = max(float(difference.max()), _LAST_BITS * mean)
    return _worst(name, difference, np.maximum(allowed, _OF_SPREAD * spread), spread, rounding)


def _of_latent(name: str, expected: np.ndarray, actual: np.ndarray) -> Agreement:
    """The magnitude of a record's latent is that of its greatest component."""
    difference = np.abs(expected.astype(np.float64) - actual).max(axis=1)
    magnitude = np.abs(expected).max(axis=1)
    allowed = _LATENT_RELATIVE * np.maximum(magnitude, magnitude.mean())
    return _worst(name, difference, np.maximum(allowed, _LATENT_RESOLUTION), np.inf, 0.0)


def _worst(
    name: str, difference: np.ndarray, allowed: np.ndarray, spread: float, rounding: float
) -> Agreement:
    """The agreement for the record that most exceeds its allowance; NaN exceeds any allowance."""
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.where(difference == 0, 0.0, difference / allowed)
    row = int(np.argmax(np.nan_to_num(excess, nan=np.inf)))
    return Agreement(name, float(difference[row]), float(allowed[row]), spread, rounding)
