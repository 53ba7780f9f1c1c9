"""2-D projections of latents."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from ae_models.errors import InputError
from ae_models.latents.projection import project


def test_principal_components_are_scikit_learns(generator: np.random.Generator) -> None:
    latents = generator.normal(size=(60, 5)).astype(np.float32) * [5, 3, 1, 1, 1]
    found = project(latents, "pca", 0, 1000)
    np.testing.assert_allclose(found.points, PCA(2).fit_transform(latents), atol=1e-4)
    assert found.fitted == 60
    assert found.axes[0].startswith("first principal component, ")


def test_a_bounded_fit_is_applied_to_all(generator: np.random.Generator) -> None:
    latents = generator.normal(size=(500, 3)).astype(np.float32)
    first, again, other = (project(latents, "pca", seed, 50) for seed in (1, 1, 2))
    assert (first.fitted, first.points.shape) == (50, (500, 2))
    np.testing.assert_array_equal(first.points, again.points)
    assert not np.array_equal(first.points, other.points)


@pytest.mark.parametrize("shape", [(1, 4), (5, 1), (2, 2)])
def test_few_records_or_dimensions(shape: tuple[int, int], generator: np.random.Generator) -> None:
    found = project(generator.normal(size=shape).astype(np.float32), "pca", 0, 100)
    assert found.points.shape == (shape[0], 2)
    assert np.isfinite(found.points).all()


def test_equal_latents() -> None:
    assert not project(np.ones((9, 3), np.float32), "pca", 0, 100).points.any()


def test_umap_needs_neighbours() -> None:
    with pytest.raises(InputError, match=r"more than 15 records\. Received: 4"):
        project(np.zeros((4, 2), np.float32), "umap", 0, 100)


@pytest.mark.slow
def test_umap_keeps_groups_apart(generator: np.random.Generator) -> None:
    centres = np.repeat([[0.0] * 8, [20.0] * 8], 60, axis=0)
    latents = (centres + generator.normal(size=centres.shape)).astype(np.float32)
    found = project(latents, "umap", 0, 80)
    assert found.fitted == 80
    means = found.points[:60].mean(axis=0), found.points[60:].mean(axis=0)
    spread = found.points[:60].std() + found.points[60:].std()
    assert np.linalg.norm(means[0] - means[1]) > spread
