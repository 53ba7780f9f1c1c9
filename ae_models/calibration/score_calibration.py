"""The calibration that p-values of one of a bundle's scores are computed against."""

import contextlib
import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from ae_models.bundles.bundle import Bundle
from ae_models.bundles.names import SCORE_PREFIX
from ae_models.bundles.scorer import chosen_score
from ae_models.calibration.p_values import conformal_p_values, score_threshold
from ae_models.calibration.pareto_tail import ParetoTail, fit_pareto_tail
from ae_models.errors import BundleError


@dataclasses.dataclass(frozen=True)
class ScoreCalibration:
    """The calibration records' values of one score.

    Attributes:
      name: the score's name.
      scores: (n,) float32, ascending.
      tail: the tail that extends p-values beyond them, or None.
    """

    name: str
    scores: np.ndarray
    tail: ParetoTail | None

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """(N,) float64, for (N,) float32 scores."""
        return conformal_p_values(scores, self.scores, self.tail)

    def threshold(self, fpr: float) -> float:
        """The least score whose p-value is at most `fpr`; infinity if there is none."""
        return score_threshold(self.scores, fpr, self.tail)


def calibration_of(
    bundle: Bundle, name: str | None = None, of_tiles: bool = False
) -> ScoreCalibration:
    """A score's calibration. The tail of the bundle's own primary score is the one in its manifest;
    that of another score is fitted on request, if the configuration asks for tails.

    Args:
      bundle: the bundle.
      name: the name of the score or of its column; None: the bundle's primary score.
      of_tiles: returns the calibration for p-values of tiles; only images have tails.

    Raises:
      ConfigError: the bundle has no such score.
      BundleError: it has no calibration records, or none with this score.
    """
    names = bundle.calibrated_scores()
    own, name = (chosen_score(bundle.config, asked, names) for asked in (None, name))
    if of_tiles:
        column = "score" if name == own else SCORE_PREFIX + name
        return ScoreCalibration(name, bundle.calibration_scores(column, of_tiles=True), None)
    if name == own:
        return ScoreCalibration(name, bundle.calibration_scores(), bundle.pareto_tail())
    scores = bundle.calibration_scores(SCORE_PREFIX + name)
    has_tail = bundle.config.scoring.tail == "pareto"
    return ScoreCalibration(name, scores, fit_pareto_tail(scores) if has_tail else None)


def thresholds(bundle: Bundle, names: Iterable[str], fpr: float) -> dict[str, float | None]:
    """The least value of each score whose p-value is at most `fpr`; None if there is none.

    Scores that the bundle's calibration records lack are left out.
    """
    found = {}
    for name in names:
        with contextlib.suppress(BundleError):
            threshold = calibration_of(bundle, name).threshold(fpr)
            found[name] = threshold if math.isfinite(threshold) else None
    return found
