"""Standard deviations that are safe to divide by."""

import numpy as np

_SMALLEST_SHARE, _SMALLEST_SCALE = 0.01, 1e-6


def bounded_scale(features: np.ndarray) -> np.ndarray:
    """The standard deviations of (N, k) features, but at least a hundredth of their mean, so that a
    feature that hardly varies in training records does not dominate elsewhere."""
    scale = features.std(axis=0, dtype=np.float64)
    return np.maximum(scale, max(_SMALLEST_SHARE * float(scale.mean()), _SMALLEST_SCALE))
