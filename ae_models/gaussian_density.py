"""Densities of many records under many Gaussians, each record with a variance of its own."""

from collections.abc import Iterator

import numpy as np

_BLOCK_BYTES = 4 << 20  # of covariances at a time


def log_densities(
    points: np.ndarray,
    variances: np.ndarray | None,
    means: np.ndarray,
    covariances: np.ndarray,
) -> np.ndarray:
    """log N(x; μ_k, Σ_k + diag(v)) of each record and Gaussian, (N, K) float64, in nats.

    A record's bits do not depend on the others: blocks have one shape, the last one is padded, and
    no operation goes over two records.

    Args:
      points: (N, d), finite.
      variances: (N, d), what is added to the diagonal for each record; None: nothing.
      means, covariances: (K, d) and (K, d, d), positive definite, of the Gaussians.
    """
    points = points.astype(np.float64)
    count, size = means.shape
    found = np.empty((len(points), count))
    if variances is None:
        factors = np.linalg.cholesky(covariances)[None]
    for rows, own in _blocks(len(points), max(1, _BLOCK_BYTES // (8 * count * size * size))):
        if variances is not None:
            # einsum's diagonal is a view.
            summed = np.repeat(covariances[None], len(rows), axis=0)
            np.einsum("nkii->nki", summed)[...] += variances[rows, None].astype(np.float64)
            factors = np.linalg.cholesky(summed)
        found[rows[:own]] = _log_densities(points[rows, None] - means, factors)[:own]
    return found


def _blocks(count: int, size: int) -> Iterator[tuple[np.ndarray, int]]:
    """`size` rows at a time, and how many of them are new: the last row fills up the last block."""
    for start in range(0, count, size):
        yield np.minimum(np.arange(start, start + size), count - 1), min(size, count - start)


def _log_densities(centred: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """−½ (d log 2π + ‖L⁻¹ r‖²) − Σ log L_jj, by forward substitution a column at a time.

    Args:
      centred: (N, K, d), r; overwritten.
      factors: (N or 1, K, d, d), the lower triangular L.
    """
    size = centred.shape[-1]
    total = np.full(centred.shape[:2], size * np.log(2 * np.pi))
    for column in range(size):
        pivot = factors[..., column, column]
        solved = centred[..., column] / pivot
        centred[..., column + 1 :] -= factors[..., column + 1 :, column] * solved[..., None]
        total += solved**2 + 2 * np.log(pivot)
    return -0.5 * total
