"""Split-conformal p-values against held-out normal records."""

import numpy as np


def conformal_p_values(scores: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """p = (1 + #{calibration ≥ s}) / (n + 1), (N,) float64 (Vovk et al. 2005).

    Args:
      scores: (N,) float32; a NaN gives a p-value of NaN.
      calibration: (n,) float32, sorted in ascending order.
    """
    n = len(calibration)
    at_least = n - np.searchsorted(calibration, scores, side="left")
    p_values = (1.0 + at_least) / (n + 1.0)
    return np.where(np.isnan(scores), np.nan, p_values)
