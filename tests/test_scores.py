"""Scores against NumPy, SciPy and scikit-learn; conformal p-values against their definition."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy import ndimage, signal, stats
from sklearn.covariance import LedoitWolf

from ae_models.calibration import conformal_p_values
from ae_models.config import (
    MODEL_CONFIGS,
    Configuration,
    PreprocessingConfig,
    ScoringConfig,
)
from ae_models.errors import ConfigError
from ae_models.scores import (
    SCORES,
    LatentMahalanobis,
    fit_scores,
    primary_score,
    score_names,
)

RECONSTRUCTION = (
    *("reconstruction_mse", "reconstruction_mae", "reconstruction_ssim", "reconstruction_max"),
    "latent_mahalanobis",
)
VARIATIONAL = (*RECONSTRUCTION, "negative_elbo", "kl")

numbers = st.floats(-5, 5, width=32)


def _records(generator: np.random.Generator, count: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Images (N, 6, 5, 2) and what a variational model would infer of them, latents correlated."""
    x = generator.random((count, 6, 5, 2), dtype=np.float32)
    noise = generator.normal(scale=0.2, size=x.shape).astype(np.float32)
    latent = generator.normal(size=(count, 3)) @ generator.normal(size=(3, 3)) + [3.0, 0.0, -9.0]
    outputs = {
        "latent_mean": latent.astype(np.float32),
        "reconstruction": x + noise * generator.random((count, 1, 1, 1), dtype=np.float32),
        "restorations": np.stack([x + generator.random() * noise for _ in range(3)]),
        "kl": generator.random(count, dtype=np.float32),
        "expected_log_likelihood": -40 * generator.random(count, dtype=np.float32),
    }
    return x, outputs


def _errors(x: np.ndarray, outputs: dict[str, Any]) -> np.ndarray:
    return x.astype(np.float64) - outputs["reconstruction"]


def _pairs(x: np.ndarray, outputs: dict[str, Any]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return zip(x.astype(np.float64), outputs["reconstruction"].astype(np.float64), strict=True)


def ssim_by_scipy(x: np.ndarray, y: np.ndarray) -> float:
    """The formula of Wang et al. (2004) for two images (H, W, C), from SciPy's windows and
    correlation, with a window that fits."""
    sides = [min(11, side if side % 2 else side - 1) for side in x.shape[:2]]
    window = np.outer(*(signal.windows.gaussian(side, 1.5) for side in sides))
    window /= window.sum()

    def mean(values: np.ndarray) -> np.ndarray:
        return signal.correlate(values, window, mode="valid", method="direct")

    maps = []
    for a, b in zip(np.moveaxis(x, -1, 0), np.moveaxis(y, -1, 0), strict=True):
        covariance = mean(a * b) - mean(a) * mean(b)
        variances = mean(a * a) - mean(a) ** 2 + mean(b * b) - mean(b) ** 2
        luminance = (2 * mean(a) * mean(b) + 1e-4) / (mean(a) ** 2 + mean(b) ** 2 + 1e-4)
        maps.append(luminance * (2 * covariance + 9e-4) / (variances + 9e-4))
    return float(np.mean(maps))


def _restored(x: np.ndarray, outputs: dict[str, Any]) -> np.ndarray:
    return outputs["restorations"].astype(np.float64) - x


def _features(x: np.ndarray, outputs: dict[str, Any]) -> np.ndarray:
    log_mse = np.log((_errors(x, outputs) ** 2).mean(axis=(1, 2, 3)))
    return np.column_stack([outputs["latent_mean"].astype(np.float64), log_mse])


ORACLES = {
    "reconstruction_mse": lambda x, o: (_errors(x, o) ** 2).mean(axis=(1, 2, 3)),
    "reconstruction_mae": lambda x, o: np.abs(_errors(x, o)).mean(axis=(1, 2, 3)),
    "reconstruction_ssim": lambda x, o: [1 - ssim_by_scipy(*pair) for pair in _pairs(x, o)],
    "reconstruction_max": lambda x, o: [
        ndimage.uniform_filter(((a - b) ** 2).mean(axis=-1), 5)[2:-2, 2:-2].max()
        for a, b in _pairs(x, o)
    ],
    "latent_mahalanobis": lambda x, o: np.sqrt(
        LedoitWolf().fit(_features(x, o)).mahalanobis(_features(x, o))
    ),
    "restoration_mse": lambda x, o: (_restored(x, o) ** 2).mean(axis=(0, 2, 3, 4)),
    "restoration_mae": lambda x, o: np.abs(_restored(x, o)).mean(axis=(0, 2, 3, 4)),
    "negative_elbo": lambda _, o: o["kl"].astype(np.float64) - o["expected_log_likelihood"],
    "kl": lambda _, o: o["kl"],
}


@pytest.mark.parametrize("name", sorted(SCORES))
def test_score_is_what_its_definition_gives(name: str, generator: np.random.Generator) -> None:
    x, outputs = _records(generator, 200)
    score = SCORES[name]()
    features = score.features(x, outputs)
    if features is not None:
        fit_scores([score], {name: np.asarray(features)})
    value = np.asarray(score(x, outputs))
    assert value.shape == (200,)
    assert value.dtype == np.float32
    np.testing.assert_allclose(value, ORACLES[name](x, outputs), rtol=2e-4)


def test_mahalanobis_of_new_records_uses_the_training_records(
    generator: np.random.Generator,
) -> None:
    score = LatentMahalanobis()
    x, outputs = _records(generator, 300)
    score.fit(np.asarray(score.features(x, outputs)))
    estimate = LedoitWolf().fit(_features(x, outputs))
    x, outputs = _records(np.random.default_rng(99), 17)
    expected = np.sqrt(estimate.mahalanobis(_features(x, outputs)))
    np.testing.assert_allclose(score(x, outputs), expected, rtol=2e-4)


def test_mahalanobis_before_fitting_is_refused(generator: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="latent_mahalanobis is not fitted"):
        LatentMahalanobis()(*_records(generator, 3))


def test_a_perfect_reconstruction_has_a_finite_score(generator: np.random.Generator) -> None:
    x, outputs = _records(generator, 50)
    score = LatentMahalanobis()
    score.fit(np.asarray(score.features(x, outputs)))
    perfect = np.asarray(score(x, {**outputs, "reconstruction": x}))
    assert np.isfinite(perfect).all()
    log_error = np.asarray(score.features(x, {**outputs, "reconstruction": x}))[:, -1]
    np.testing.assert_allclose(log_error, np.log(1e-12), rtol=1e-5)


def test_training_records_that_are_all_alike_give_finite_scores(
    generator: np.random.Generator,
) -> None:
    x, outputs = _records(generator, 4)
    score = LatentMahalanobis()
    score.fit(np.repeat(np.asarray(score.features(x, outputs))[:1], 30, axis=0))
    assert np.isfinite(np.asarray(score(x, outputs))).all()


def test_fit_scores_leaves_the_others_alone(generator: np.random.Generator) -> None:
    scores = [SCORES[name]() for name in VARIATIONAL]
    features = generator.normal(size=(20, 4)).astype(np.float32)
    fit_scores(scores, {"latent_mahalanobis": features})
    fitted = [score for score in scores if getattr(score, "mean", None) is not None]
    assert [score.name for score in fitted] == ["latent_mahalanobis"]
    mean = getattr(fitted[0], "mean", None)
    np.testing.assert_allclose(mean, features.mean(axis=0, dtype=np.float64))


def _configuration(kind: str, **scoring: Any) -> Configuration:
    return Configuration(MODEL_CONFIGS[kind](), scoring=ScoringConfig(**scoring))


@pytest.mark.parametrize(
    ("kind", "names"), [("ae", RECONSTRUCTION), ("dae", RECONSTRUCTION), ("vae", VARIATIONAL)]
)
def test_without_a_choice_a_kind_has_its_scores_that_cost_little(
    kind: str, names: tuple[str, ...]
) -> None:
    config = _configuration(kind)
    assert score_names(config) == names
    assert primary_score(config) == "latent_mahalanobis"


def test_chosen_scores_keep_their_order() -> None:
    config = _configuration("vae", scores=("kl", "reconstruction_mse"), primary="kl")
    assert score_names(config) == ("kl", "reconstruction_mse")
    assert primary_score(config) == "kl"


@pytest.mark.parametrize(("kind", "name"), [("ae", "kl"), ("dae", "negative_elbo"), ("vae", "klm")])
def test_a_score_that_the_kind_has_not_is_refused(kind: str, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"scoring.scores for {kind} .*Received: '{name}'"):
        score_names(_configuration(kind, scores=("reconstruction_mse", name)))


def test_a_score_of_images_between_0_and_1_is_not_had_of_others() -> None:
    standard = PreprocessingConfig(scaling="standard")
    config = dataclasses.replace(_configuration("ae"), preprocessing=standard)
    assert "reconstruction_ssim" not in score_names(config)
    asked = dataclasses.replace(config, scoring=ScoringConfig(scores=("reconstruction_ssim",)))
    with pytest.raises(ConfigError, match=r"reconstruction_ssim needs .*scaling.* 'standard'"):
        score_names(asked)


@pytest.mark.parametrize(
    ("shape", "window"), [((40, 9, 2), (5, 5)), ((160, 4, 1), (10, 4)), ((1, 1, 1), (1, 1))]
)
def test_the_local_maximum_finds_one_defect(
    shape: tuple[int, int, int], window: tuple[int, int]
) -> None:
    """One value that is off by 1 raises the mean of each window that holds it by 1 / its size."""
    x = np.zeros((3, *shape), np.float32)
    spoilt = x.copy()
    spoilt[1, 0, 0, 0], spoilt[2, shape[0] // 2, shape[1] // 2, -1] = 1.0, -1.0
    found = SCORES["reconstruction_max"]()(x, {"reconstruction": spoilt})
    share = 1 / (window[0] * window[1] * shape[2])
    np.testing.assert_allclose(found, [0, share, share], rtol=1e-5)


@pytest.mark.parametrize("primary", ["kl", "reconstruction_mae", None])
def test_the_primary_score_must_be_among_the_chosen(primary: str | None) -> None:
    config = _configuration("ae", scores=("reconstruction_mse",), primary=primary)
    received = primary or "latent_mahalanobis"
    with pytest.raises(ConfigError, match=rf"scoring.primary .*Received: '{received}'"):
        primary_score(config)


@settings(deadline=None)
@given(
    scores=st_numpy.arrays(np.float32, st.integers(0, 20), elements=numbers | st.just(np.inf)),
    calibration=st_numpy.arrays(np.float32, st.integers(0, 20), elements=numbers),
    ties=st.booleans(),
)
def test_p_values_count_the_calibration_scores(
    scores: np.ndarray, calibration: np.ndarray, ties: bool
) -> None:
    if ties:
        scores, calibration = np.round(scores), np.round(calibration)
    expected = [(1 + sum(c >= s for c in calibration)) / (len(calibration) + 1) for s in scores]
    p_values = conformal_p_values(scores, np.sort(calibration))
    assert p_values.dtype == np.float64
    assert p_values.shape == scores.shape
    np.testing.assert_allclose(p_values, expected, rtol=1e-15)


def test_a_tie_counts_against_the_record() -> None:
    p_values = conformal_p_values(
        np.array([0, 1, 1.5, 2, 3], np.float32), np.array([1, 1, 2], np.float32)
    )
    np.testing.assert_array_equal(p_values, [1.0, 1.0, 0.5, 0.5, 0.25])


def test_not_a_number_has_no_p_value() -> None:
    p_values = conformal_p_values(
        np.array([np.nan, 5, np.nan], np.float32), np.array([1, 2], np.float32)
    )
    np.testing.assert_array_equal(p_values, [np.nan, 1 / 3, np.nan])
    assert not (p_values <= 0.5)[0], "a NaN must not be flagged"


@pytest.mark.parametrize("digits", [None, 1], ids=["continuous", "with ties"])
def test_p_values_of_normal_records_are_valid(digits: int | None) -> None:
    """P(p <= a) <= a over calibration and record, with equality at multiples of 1 / (n + 1)."""
    n, runs = 19, 20_000
    draws = np.random.default_rng(5).normal(size=(runs, n + 1)).astype(np.float32)
    draws = draws if digits is None else np.round(draws, digits)
    p_values = np.concatenate([conformal_p_values(d[:1], np.sort(d[1:])) for d in draws])
    for fpr in (0.01, 0.05, 0.1, 0.27, 0.5, 0.9):
        flagged = int(np.sum(p_values <= fpr))
        assert stats.binomtest(flagged, runs, fpr, alternative="greater").pvalue > 1e-4, fpr
        if digits is None and np.isclose(fpr * (n + 1) % 1, 0):
            assert stats.binomtest(flagged, runs, fpr).pvalue > 1e-4, fpr
