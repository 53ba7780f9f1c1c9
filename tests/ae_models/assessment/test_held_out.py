"""Assessments on held-out records: the error beside principal components, the recommended score."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from ae_models.assessment.held_out import Control, Recommendation, control, recommendation
from ae_models.assessment.made_anomalies import ANOMALIES
from ae_models.bundles.bundle import Bundle, open_bundle
from ae_models.bundles.scorer import Scorer
from ae_models.config.model import AutoencoderConfig
from ae_models.training.image_store import ImageStore
from ae_models.training.preprocessing import Preprocessing
from tests.support.digits import digit_pixels

Bundles = Callable[[str], Path]


def _store(folder: Path, pixels: np.ndarray) -> ImageStore:
    np.save(folder / "store.npy", pixels)
    return ImageStore(folder / "store.npy")


def _opened(bundle: Bundles) -> tuple[Bundle, Scorer]:
    opened = open_bundle(bundle("ae"))
    return opened, Scorer(opened.path, opened.config)


def test_errors_are_those_of_the_reconstruction_and_of_scikit_learn(
    bundle: Bundles, tmp_path: Path
) -> None:
    opened, scorer = _opened(bundle)
    preprocessing = Preprocessing(opened.path / "transform_fn")
    train, held_out = digit_pixels()[:300], digit_pixels()[300:350]
    parts = [held_out[:30], held_out[30:]]
    found = control(scorer, preprocessing, _store(tmp_path, train), parts, components=5, seed=0)
    flat, other = (np.asarray(preprocessing(x)).reshape(len(x), -1) for x in (train, held_out))
    known = PCA(5, random_state=0).fit(flat)
    expected = np.mean((other - known.inverse_transform(known.transform(other))) ** 2)
    errors = scorer.score(held_out)["score_reconstruction_mse"]
    assert found.principal_components == pytest.approx(expected, rel=1e-4)
    assert found.model == pytest.approx(float(errors.mean()), rel=1e-4)
    assert (found.components, found.records) == (5, 50)
    assert found.ratio == pytest.approx(found.model / found.principal_components)


def test_a_model_that_loses_to_principal_components_is_told_of() -> None:
    assert Control(8, 50, 0.01, 0.02).advice(AutoencoderConfig()) is None
    assert Control(8, 50, 1.004, 1.0).advice(AutoencoderConfig()) is None  # as good
    advice = Control(8, 50, 0.03, 0.02).advice(AutoencoderConfig())
    assert advice is not None
    assert advice.startswith("the model is undertrained: held-out images are reconstructed with")
    assert "1.50 times that of 8 principal components" in advice
    assert advice.endswith("or on more images")


@pytest.mark.parametrize(
    ("config", "start"),
    [
        (AutoencoderConfig(loss="bce"), "a linear output"),
        (AutoencoderConfig(linear_path=False), "model.linear_path=true"),
    ],
)
def test_a_model_without_principal_components_is_advised_to_start_from_them(
    config: AutoencoderConfig, start: str
) -> None:
    advice = Control(8, 50, 0.03, 0.02).advice(config)
    assert advice is not None
    assert advice.endswith(f", or with {start}, which starts from principal components")


def test_images_without_a_difference_have_no_ratio_beyond_numbers() -> None:
    assert np.isfinite(Control(1, 8, 0.0, 0.0).ratio)
    assert np.isfinite(Control(1, 8, 1e-9, 0.0).ratio)


def test_each_scores_auroc_is_the_mean_over_the_made_anomalies(
    bundle: Bundles, tmp_path: Path
) -> None:
    _, scorer = _opened(bundle)
    pixels = digit_pixels()[:40]
    found = recommendation(scorer, _store(tmp_path, pixels), seed=3)
    generator = np.random.default_rng(3)
    normal = scorer.score(pixels)
    expected: dict[str, list[float]] = {}
    for change in ANOMALIES.values():
        changed = scorer.score(change(pixels, generator))
        for name in found.aurocs:
            both = np.concatenate([values[f"score_{name}"] for values in (normal, changed)])
            area = roc_auc_score(np.repeat([0, 1], len(pixels)), both)
            expected.setdefault(name, []).append(float(area))
    assert found.records == 40
    for name, areas in expected.items():
        assert found.aurocs[name] == pytest.approx(np.mean(areas)), name
    assert found.aurocs[found.score] == max(found.aurocs.values())


def test_where_all_scores_find_as_much_the_primary_one_is_recommended(
    bundle: Bundles, tmp_path: Path
) -> None:
    """No anomaly can be synthesised from black images."""
    opened, _ = _opened(bundle)
    scorer = Scorer(opened.path, opened.config, primary="latent_mahalanobis")
    black = np.zeros((9, *opened.config.image.shape), np.uint8)
    found = recommendation(scorer, _store(tmp_path, black), seed=3)
    assert set(found.aurocs.values()) == {0.5}
    assert found.score == "latent_mahalanobis"


def test_the_recommendation_says_how_to_take_it() -> None:
    found = Recommendation("latent_knn", 40, {"latent_knn": 0.9, "reconstruction_mse": 0.7})
    told = found.sentence("reconstruction_mse")
    assert "latent_knn does best: AUROC 0.900" in told
    assert (
        "reconstruction_mse, the primary score, has 0.700: score with --primary latent_knn" in told
    )
    assert found.sentence("latent_knn").endswith("it is the primary score")


@pytest.mark.parametrize("shape", [(1, 28, 1), (28, 1, 3), (2, 28, 1), (3, 3, 3), (1, 1, 1)])
@pytest.mark.parametrize("change", ANOMALIES)
def test_anomalies_are_made_of_images_of_any_size(change: str, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, *shape), np.uint8)
    changed = ANOMALIES[change](images, np.random.default_rng(1))
    assert (changed.shape, changed.dtype) == (images.shape, images.dtype)


def test_where_principal_components_are_exact_that_is_said() -> None:
    found = Control(8, 50, 1e-4, 0.0)
    assert found.ratio == pytest.approx(1e5)
    assert found.sentence().endswith(
        "error of 0.0001; 8 principal components reconstruct them exactly"
    )
    assert Control(8, 50, 0.0, 0.0).ratio == 1
