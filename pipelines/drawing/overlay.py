"""Errors over the images that they are of."""

import matplotlib
import numpy as np

HEAT = "magma"
_SHARE = 0.6  # of the heat where the error is greatest; where there is none the image alone is seen


def heat_over(images: np.ndarray, errors: np.ndarray, worst: float) -> np.ndarray:
    """Images in grey with the errors over them as heat, the more of it the greater the error.

    Args:
      images: (N, H, W, C), of values from 0 to 1.
      errors: (N, H, W), at least 0.
      worst: the error that has the brightest colour.

    Returns:
      (N, H, W, 3) float32, from 0 to 1.
    """
    grey = (images[..., :3] if images.shape[-1] >= 3 else images[..., :1]).mean(axis=-1)
    unit = np.clip(errors / max(worst, 1e-12), 0.0, 1.0)
    heat = matplotlib.colormaps[HEAT](unit)[..., :3]
    share = (_SHARE * np.sqrt(unit))[..., None]
    return np.asarray((1 - share) * grey[..., None] + share * heat, np.float32)
