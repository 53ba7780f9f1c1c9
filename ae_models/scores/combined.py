"""Combines several scores, so that both a different kind of object and a small defect show."""

from collections.abc import Mapping

import numpy as np
from keras import ops

from ae_models.config.configuration import Configuration
from ae_models.ops.tensor import Tensor
from ae_models.scores.feature_score import FeatureScore
from ae_models.scores.place_density import PlaceDensity
from ae_models.scores.score import Score, ScoreOfScores

# The scores of the entire image, with their weights, and that of its least usual place.
_WHOLE = {"feature_density": 3.0, "feature_extremes": 2.0, "residual_density": 1.0}
_PLACE = "place_density"
# The score of a single place is noisy: it counts less, and only from 1.5 standard deviations up. If
# all images show the same in the same place, it counts more, and from the mean up.
_PLACE_WEIGHTS, _PLACE_MARGINS = (0.3, 4.0), (1.5, 0.0)
_ORDER = 0.01  # orders records that are normal by both, which would be equal without it
_SMALLEST_SCALE = 1e-6


class Combined(ScoreOfScores):
    """How unusual a record is overall, g, or in one place, l, in standard deviations of held-out
    normal records: max(g, 0) + w·max(l − t, 0), plus a hundredth of g + w·l.

    g: `feature_density`, `feature_extremes` and `residual_density`, each standardised, weighted by
    3, 2 and 1, and the sum standardised again; l: `place_density`. Neither hides the other, as it
    would in a mean; and a slightly unusual place, of which there are many, does not outweigh g, as
    it would in a maximum. w goes from 0.3 to 4, and t from 1.5 to 0, with the share of a place's
    appearance that its position determines: all of it, if neither camera nor object ever moves.
    """

    name = "combined"
    parts = (*_WHOLE, _PLACE)
    parity = 1e-4
    resolution = 1e-3  # standard deviations

    def __init__(self) -> None:
        self._moments: dict[str, tuple[float, float]] = {}
        self._whole = (0.0, 1.0)
        self._weight, self._margin = _PLACE_WEIGHTS[0], _PLACE_MARGINS[0]

    @classmethod
    def refusal(cls, config: Configuration) -> str | None:
        refused = FeatureScore.refusal(config)
        named = config.scoring.scores
        missing = [] if named is None else [part for part in cls.parts if part not in named]
        if refused is None and missing:
            return f"is computed from {', '.join(cls.parts)}: list these too. Missing: {missing[0]}"
        return refused

    def fit_parts(self, parts: Mapping[str, np.ndarray], scores: Mapping[str, Score]) -> None:
        place = scores[_PLACE]
        aligned = place.alignment if isinstance(place, PlaceDensity) else 0.0
        self._weight = float(np.interp(aligned, (0, 1), _PLACE_WEIGHTS))
        self._margin = float(np.interp(aligned, (0, 1), _PLACE_MARGINS))
        self._moments = {name: _moments(parts[name]) for name in self.parts}
        self._whole = _moments(self._sum(parts))

    def of_parts(self, parts: Mapping[str, Tensor]) -> Tensor:
        if not self._moments:
            raise ValueError(f"{self.name} is not fitted")
        whole = _standardised(self._sum(parts), self._whole)
        place = _standardised(parts[_PLACE], self._moments[_PLACE])
        in_place = self._weight * ops.maximum(place - self._margin, 0.0)
        return ops.maximum(whole, 0.0) + in_place + _ORDER * (whole + self._weight * place)

    def _sum(self, parts: Mapping[str, Tensor]) -> Tensor:
        return sum(
            weight * _standardised(parts[name], self._moments[name])
            for name, weight in _WHOLE.items()
        )


def _moments(values: np.ndarray) -> tuple[float, float]:
    """The mean and standard deviation of (n,) values."""
    values = np.asarray(values, np.float64)
    return float(values.mean()), max(_SMALLEST_SCALE, float(values.std()))


def _standardised(values: Tensor, moments: tuple[float, float]) -> Tensor:
    mean, deviation = moments
    return (values - mean) / deviation
