"""Densities of Gaussians at uncertain points."""

from typing import NamedTuple

import numpy as np

from ae_models.ops.tensor import LOG_TWO_PI


class Densities(NamedTuple):
    """For N points under K Gaussians, (N, K) float64: log densities in nats, and squared
    Mahalanobis distances to the means."""

    log_densities: np.ndarray
    squared_distances: np.ndarray


def densities(
    points: np.ndarray,
    variances: np.ndarray | None,
    means: np.ndarray,
    covariances: np.ndarray,
    *,
    block_bytes: int = 4 << 20,
) -> Densities:
    """log N(x; μ, Σ + diag(s²)), the density of a point that is known only up to a Gaussian with
    variances s², under a Gaussian that the points come from.

    Computed per point, without matrix products over all of them: a point's result has the same bits
    whatever the other points are. Memory beyond the result is about three times `block_bytes`.

    Args:
      points: (N, d), x.
      variances: (N, d), s²; None: 0.
      means: (K, d), μ.
      covariances: (K, d, d), Σ, positive definite.
      block_bytes: the size of the matrices, one per point, that are processed at a time. The
        default fits into caches, which is three times as fast as 32 MiB.
    """
    points = points.astype(np.float64)
    result = Densities(*np.empty((2, len(points), len(means))))
    rows = max(1, block_bytes // (8 * points.shape[1] ** 2))
    for index, (mean, covariance) in enumerate(zip(means, covariances, strict=True)):
        for start in range(0, len(points), rows):
            part = slice(start, start + rows)
            own = None if variances is None else variances[part].astype(np.float64)
            found = _one(points[part] - mean, own, covariance)
            result.log_densities[part, index], result.squared_distances[part, index] = found
    return result


def _one(
    differences: np.ndarray, variances: np.ndarray | None, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The result for one Gaussian, by the Cholesky factor L of the covariance: the distance is
    |L⁻¹(x − μ)|², the determinant is that of L, squared."""
    if variances is None:
        factor = np.linalg.cholesky(covariance)
        inverse = np.linalg.inv(factor)
        whitened = np.einsum("nd,ed->ne", differences, inverse)
        log_determinant = np.full(len(differences), np.log(np.diagonal(factor)).sum())
    else:
        widened = np.tile(covariance, (len(differences), 1, 1))
        diagonal = np.arange(len(covariance))
        widened[:, diagonal, diagonal] += variances
        factors = np.linalg.cholesky(widened)
        whitened = _solved(factors, differences)
        log_determinant = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    squared = np.square(whitened).sum(axis=1)
    constant = differences.shape[1] * LOG_TWO_PI
    return -0.5 * (squared + constant) - log_determinant, squared


def _solved(factors: np.ndarray, differences: np.ndarray) -> np.ndarray:
    """L⁻¹x for each point, (N, d): forward substitution for all at once, which takes a sixth of the
    time of LAPACK's for small matrices."""
    result = np.empty_like(differences)
    for row in range(differences.shape[1]):
        known = np.einsum("nk,nk->n", factors[:, row, :row], result[:, :row])
        result[:, row] = (differences[:, row] - known) / factors[:, row, row]
    return result
