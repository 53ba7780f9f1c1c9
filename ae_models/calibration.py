"""Split-conformal p-values against held-out normal records."""

import numpy as np

from ae_models.pareto_tail import ParetoTail


def conformal_p_values(
    scores: np.ndarray, calibration: np.ndarray, tail: ParetoTail | None = None
) -> np.ndarray:
    """p = (1 + #{calibration ≥ s}) / (n + 1), (N,) float64 (Vovk et al. 2005).

    Args:
      scores: (N,) float32; a NaN gives a p-value of NaN.
      calibration: (n,) float32, sorted in ascending order.
      tail: fitted to `calibration`; gives a score above all of it the tail's p-value, where that
        is below 1 / (n + 1).
    """
    n = len(calibration)
    at_least = n - np.searchsorted(calibration, scores, side="left")
    p_values = (1.0 + at_least) / (n + 1.0)
    if tail is not None:
        beyond = scores > calibration[-1]
        p_values[beyond] = np.minimum(p_values[beyond], tail.p_values(scores[beyond]))
    return np.where(np.isnan(scores), np.nan, p_values)
