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
    """A mixture by expectation maximisation.

    Args:
      points: (n, d), not fewer than there are components.
      components: K.
      ridge: what is added to each covariance's diagonal.
      seed: of the starts.
      starts: of which the likeliest end counts.
      most_steps: of each start.
    """
    mixture = GaussianMixture(
        components, n_init=starts, reg_covar=ridge, random_state=seed, max_iter=most_steps
    )
    with warnings.catch_warnings():  # a mixture that could gain a little more is a density too
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(points.astype(np.float64))
