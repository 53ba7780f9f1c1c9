"""Standard deviations that something may be divided by."""

import numpy as np

_SMALLEST_SHARE, _SMALLEST_SCALE = 0.01, 1e-6


def bounded_scale(features: np.ndarray) -> np.ndarray:
    """The standard deviations of (N, k) features, but at least a hundredth of their mean: one that
    hardly varies in training records is not all that counts where it does."""
    scale = features.std(axis=0, dtype=np.float64)
    return np.maximum(scale, max(_SMALLEST_SHARE * float(scale.mean()), _SMALLEST_SCALE))
