"""Densities of Gaussians at uncertain points."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from ae_models.latents.gaussians import densities


@pytest.fixture
def gaussians(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    factors = generator.normal(size=(3, 4, 4))
    return generator.normal(size=(3, 4)), factors @ factors.transpose(0, 2, 1) + np.eye(4)


@pytest.mark.parametrize("uncertain", [False, True])
def test_as_scipy_says(
    uncertain: bool,
    gaussians: tuple[np.ndarray, np.ndarray],
    generator: np.random.Generator,
) -> None:
    means, covariances = gaussians
    points = generator.normal(size=(20, 4)).astype(np.float32)
    variances = generator.uniform(0, 2, (20, 4)) if uncertain else np.zeros((20, 4))
    found = densities(points, variances if uncertain else None, means, covariances)
    for n, (point, variance) in enumerate(zip(points, variances, strict=True)):
        for k, (mean, covariance) in enumerate(zip(means, covariances, strict=True)):
            widened = covariance + np.diag(variance)
            expected = multivariate_normal(mean, widened).logpdf(point)
            np.testing.assert_allclose(found.log_densities[n, k], expected, rtol=1e-10)
            difference = point - mean
            distance = difference @ np.linalg.inv(widened) @ difference
            np.testing.assert_allclose(found.squared_distances[n, k], distance, rtol=1e-10)


def test_an_uncertain_point_is_a_mean_over_points(
    gaussians: tuple[np.ndarray, np.ndarray], generator: np.random.Generator
) -> None:
    """∫ N(z; μ, Σ) N(z; x, s²) dz = N(x; μ, Σ + s²)."""
    means, covariances = gaussians
    point, variances = np.ones((1, 4)), np.full((1, 4), 0.3)
    drawn = point + np.sqrt(variances) * generator.normal(size=(200_000, 4))
    average = np.exp(densities(drawn, None, means, covariances).log_densities).mean(axis=0)
    found = np.exp(densities(point, variances, means, covariances).log_densities[0])
    np.testing.assert_allclose(average, found, rtol=0.02)


@pytest.mark.parametrize("uncertain", [False, True])
def test_bits_depend_on_the_point_alone(
    uncertain: bool,
    gaussians: tuple[np.ndarray, np.ndarray],
    generator: np.random.Generator,
) -> None:
    points = generator.normal(size=(301, 4))
    variances = generator.uniform(0, 2, (301, 4)) if uncertain else None
    whole = densities(points, variances, *gaussians)
    blocks = densities(points, variances, *gaussians, block_bytes=8 * 16 * 37)
    np.testing.assert_array_equal(blocks.log_densities, whole.log_densities)
    np.testing.assert_array_equal(blocks.squared_distances, whole.squared_distances)
    for rows in (slice(7, 8), slice(300, None, -3), slice(0, 64)):
        part = densities(points[rows], None if variances is None else variances[rows], *gaussians)
        np.testing.assert_array_equal(part.log_densities, whole.log_densities[rows])
        np.testing.assert_array_equal(part.squared_distances, whole.squared_distances[rows])
