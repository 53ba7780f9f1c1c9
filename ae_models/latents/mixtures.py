"""Mixtures of Gaussians with full covariances, fitted by scikit-learn."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture


def fit_mixture(
    points: np.ndarray,
    components: int,
    *,
    ridge: float,
    seed: int,
    starts: int = 1,
    most_steps: int = 300,
) -> GaussianMixture:
    """Fits a mixture by expectation maximisation.

    Args:
      points: (n, d), at least as many as components.
      components: K.
      ridge: added to each covariance's diagonal.
      seed: for the starts.
      starts: the number of starts, of which the most likely result is kept.
      most_steps: the maximum number of steps per start.
    """
    mixture = GaussianMixture(
        components, n_init=starts, reg_covar=ridge, random_state=seed, max_iter=most_steps
    )
    with warnings.catch_warnings():  # a mixture that has not fully converged is still a density
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(points.astype(np.float64))
