"""A generalised Pareto tail for p-values of scores beyond every calibration score."""

import dataclasses
from typing import ClassVar

import numpy as np

from ae_models.config.validated import Validated

_SHARE = 10  # one record in ten is an exceedance
_LEAST_EXCEEDANCES = 30  # with fewer, the relative error of scale and shape exceeds a fifth
LEAST_RECORDS = _SHARE * _LEAST_EXCEEDANCES
_SMALLEST = float(np.finfo(np.float64).tiny)


@dataclasses.dataclass(frozen=True)
class ParetoTail(Validated):
    """P(S ≥ s) ≈ exceedances / records · (1 + shape · (s − threshold) / scale)^(−1 / shape).

    The limit law of exceedances over a high threshold (Pickands 1975; Davison and Smith 1990);
    shape 0 is the exponential, exp(−(s − threshold) / scale). Unlike a conformal p-value, its value
    beyond the data is an extrapolation.
    """

    section: ClassVar[str] = "calibration.pareto_tail"

    threshold: float
    shape: float
    scale: float
    exceedances: int
    records: int

    def validate(self) -> None:
        self.require(self.shape >= 0, "shape", "at least 0")
        self.require(self.scale > 0, "scale", "greater than 0")
        fits = 1 <= self.exceedances <= self.records
        self.require(fits, "exceedances", f"1 to {self.records}, the number of records")

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """Decreasing p-values for (N,) scores above the threshold: (N,) float64, positive."""
        from scipy import stats  # noqa: PLC0415 - slower to load than a command should be

        excesses = scores.astype(np.float64) - self.threshold
        survival = stats.genpareto.sf(excesses, self.shape, scale=self.scale)
        return np.maximum(self.exceedances / self.records * survival, _SMALLEST)


def fit_pareto_tail(calibration: np.ndarray) -> ParetoTail | None:
    """Fits the top tenth by maximum likelihood, with the shape raised by one standard error.

    The maximum-likelihood tail alone is too light for a record that exceeds all those it was fitted
    to: with 300 to 3000 records of a heavy-tailed distribution, p-values below a / (n + 1),
    a = 0.1, occur 4 to 1.5 times too often. The standard error, (1 + shape) / √k for k exceedances
    (Smith 1987), corrects that and vanishes as k grows. If the shape is negative even so, which
    would imply a greatest possible score and no useful p-value beyond it, the exponential, the
    lightest tail allowed, replaces it.

    Args:
      calibration: (n,) float32, sorted in ascending order.

    Returns:
      None if fewer than 30 scores exceed the threshold (n is below 300, or too many are equal), if
      a score is not finite, or if the likelihood has no maximum.
    """
    from scipy import stats  # noqa: PLC0415

    n = len(calibration)
    scores = calibration.astype(np.float64)
    threshold = scores[n - 1 - n // _SHARE] if n else 0.0
    excesses = scores[scores > threshold] - threshold
    if len(excesses) < _LEAST_EXCEEDANCES or not np.isfinite(scores).all():
        return None
    mean = excesses.mean()
    try:  # in units of the mean, since the optimiser's tolerances are absolute
        shape, _, scale = stats.genpareto.fit(excesses / mean, 0.1, floc=0, scale=0.9)
    except stats.FitError:
        return None
    shape += (1 + shape) / np.sqrt(len(excesses))
    if shape <= 0:
        shape, scale = 0.0, 1.0  # the mean is the exponential's maximum-likelihood scale
    return ParetoTail(float(threshold), float(shape), float(scale * mean), len(excesses), n)
