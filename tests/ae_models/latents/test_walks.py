"""Walks through latent space against SciPy, pandas and closed forms."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial import geometric_slerp

from ae_models.latents.walks import along, attribute_vector, linear_path, spherical_path, sweep

SHARES = np.linspace(0.0, 1.0, 9)


@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_between_unit_vectors_the_spherical_path_is_scipys(size: int, seed: int) -> None:
    ends = np.random.default_rng(seed).normal(size=(2, size))
    start, end = ends / np.linalg.norm(ends, axis=1, keepdims=True)
    # Between opposite points there is no shortest path, and SciPy warns about that.
    assume(np.linalg.norm(start + end) > 0.01)
    path = spherical_path(start, end, SHARES)
    np.testing.assert_allclose(path, geometric_slerp(start, end, SHARES), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), 1.0, rtol=1e-9)


@given(st.floats(0.01, 100.0), st.floats(0.01, 100.0), st.integers(0, 2**32 - 1))
def test_the_spherical_path_hits_both_ends_and_norms_go_evenly(
    first: float, last: float, seed: int
) -> None:
    ends = np.random.default_rng(seed).normal(size=(2, 5))
    start, end = ends / np.linalg.norm(ends, axis=1, keepdims=True) * [[first], [last]]
    path = spherical_path(start, end, SHARES)
    np.testing.assert_allclose(path[[0, -1]], [start, end], rtol=1e-9, atol=1e-9)
    norms = np.linalg.norm(path, axis=1)
    np.testing.assert_allclose(norms, np.linspace(first, last, len(SHARES)), rtol=1e-9)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ([1.0, 2.0], [1.0, 2.0]),
        ([1.0, 2.0], [2.0, 4.0]),
        ([1.0, 2.0], [-2.0, -4.0]),
        ([0.0, 0.0], [3.0, 1.0]),
        ([3.0, 1.0], [0.0, 0.0]),
        ([3.0], [-1.0]),
        ([1.0, 0.0], [1.0, 1e-9]),
    ],
)
def test_where_there_is_no_angle_the_path_is_straight(start: list[float], end: list[float]) -> None:
    path = spherical_path(np.array(start), np.array(end), SHARES)
    np.testing.assert_allclose(path, np.linspace(start, end, len(SHARES)), atol=1e-8)


def test_the_straight_path_is_numpys(generator: np.random.Generator) -> None:
    start, end = generator.normal(size=(2, 6)).astype(np.float32)
    expected = np.linspace(start, end, len(SHARES))
    np.testing.assert_allclose(linear_path(start, end, SHARES), expected, atol=1e-6)


def test_a_sweep_moves_one_dimension_alone(generator: np.random.Generator) -> None:
    centre, stddev = generator.normal(size=5), np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    points = sweep(centre, stddev, 2, np.array([-3.0, 0.0, 1.0]))
    np.testing.assert_allclose(points[:, 2] - centre[2], [-9.0, 0.0, 3.0])
    np.testing.assert_array_equal(
        np.delete(points, 2, axis=1), np.tile(centre[[0, 1, 3, 4]], (3, 1))
    )


def test_along_a_vector() -> None:
    points = along(np.array([1.0, 1.0]), np.array([0.5, -2.0]), np.array([-2.0, 0.0, 1.0]))
    np.testing.assert_allclose(points, [[0.0, 5.0], [1.0, 1.0], [1.5, -1.0]])


@pytest.mark.parametrize("cuts", [[], [1], [0, 37, 37, 80]])
def test_the_attribute_vector_is_the_difference_of_means(
    cuts: list[int], generator: np.random.Generator
) -> None:
    latents = generator.normal(5.0, size=(100, 4)).astype(np.float32)
    has = generator.random(100) < 0.3
    parts = zip(np.split(latents, cuts), np.split(has, cuts), strict=True)
    found = attribute_vector(parts)
    means = pd.DataFrame(latents.astype(np.float64)).groupby(has).mean()
    np.testing.assert_allclose(found.vector, means.loc[True] - means.loc[False], rtol=1e-9)
    np.testing.assert_allclose(found.centre, latents.mean(axis=0, dtype=np.float64), rtol=1e-9)
    assert (found.members, found.others) == (has.sum(), 100 - has.sum())


@pytest.mark.parametrize("has", [True, False])
def test_without_records_of_both_kinds_there_is_no_direction(has: bool) -> None:
    with pytest.raises(ValueError, match="of 3 records have the attribute"):
        attribute_vector([(np.ones((3, 2), np.float32), np.full(3, has))])
