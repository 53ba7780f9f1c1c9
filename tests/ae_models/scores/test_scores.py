"""Scores against NumPy, SciPy and scikit-learn; conformal p-values against their definition."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy import ndimage, signal, special, stats
from sklearn.covariance import LedoitWolf
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from ae_models.calibration.p_values import conformal_p_values
from ae_models.config.configuration import (
    Configuration,
    ImageConfig,
    PreprocessingConfig,
    ScoringConfig,
)
from ae_models.config.model import MODEL_CONFIGS, VariationalConfig
from ae_models.errors import ConfigError
from ae_models.scores import SCORES, fit_scores, primary_score, score_names
from ae_models.scores.complexity import code_length
from ae_models.scores.feature_score import FeatureScore
from ae_models.scores.mahalanobis import LatentMahalanobis
from ae_models.scores.neighbours import LatentNeighbours

RECONSTRUCTION = (
    *("reconstruction_mse", "reconstruction_mae", "reconstruction_ssim", "reconstruction_max"),
    *("reconstruction_smoothed", "reconstruction_relative", "map_peak"),
    *("latent_mahalanobis", "latent_knn", "typicality"),
)
VARIATIONAL = (
    *RECONSTRUCTION,
    *("negative_elbo", "kl", "reconstruction_probability", "negative_log_likelihood"),
)

numbers = st.floats(-5, 5, width=32)


def _records(generator: np.random.Generator, count: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Images (N, 6, 5, 2) and a variational model's inference for them, with correlated latents."""
    x = generator.random((count, 6, 5, 2), dtype=np.float32)
    noise = generator.normal(scale=0.2, size=x.shape).astype(np.float32)
    latent = generator.normal(size=(count, 3)) @ generator.normal(size=(3, 3)) + [3.0, 0.0, -9.0]
    outputs = {
        "latent_mean": latent.astype(np.float32),
        "reconstruction": x + noise * generator.random((count, 1, 1, 1), dtype=np.float32),
        "restorations": np.stack([x + generator.random() * noise for _ in range(3)]),
        "views": generator.random((4, *x.shape), dtype=np.float32),
        "kl": generator.random(count, dtype=np.float32),
        "expected_log_likelihood": -40 * generator.random(count, dtype=np.float32),
        "log_weights": -40 * generator.random((6, count), dtype=np.float32),
        "elbo_gain": generator.random(count, dtype=np.float32),
        "pixels": generator.integers(0, 256, (count, 6, 5, 3), np.uint8),
        "anomaly_map": generator.normal(size=(count, 3, 4)).astype(np.float32),
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


def _relative(x: np.ndarray, outputs: dict[str, Any]) -> np.ndarray:
    """Images are 6 by 5, so that a part is a pixel."""
    smooth = ndimage.gaussian_filter(_errors(x, outputs), (0, 0.25, 0.25, 0))
    errors = (smooth**2).mean(axis=-1)
    mean = errors.mean(axis=0)
    level = np.log((errors / (mean + 0.1 * mean.mean())).mean(axis=(1, 2)))
    exact = x.astype(np.float64)
    variation = [np.abs(np.diff(exact, axis=axis)).sum(axis=(1, 2, 3)) for axis in (1, 2)]
    detail = np.log(sum(variation) / x[0].size + 1e-3)
    line = stats.linregress(detail, level)
    return level - line.intercept - line.slope * detail


def _nearest(x: np.ndarray, outputs: dict[str, Any]) -> np.ndarray:
    latents = outputs["latent_mean"].astype(np.float64)
    estimate = LedoitWolf().fit(latents)
    neighbours = NearestNeighbors(
        n_neighbors=5, metric="mahalanobis", metric_params={"VI": estimate.precision_}
    )
    return neighbours.fit(latents).kneighbors(latents)[0].mean(axis=1)


def _untypical(x: np.ndarray, outputs: dict[str, Any]) -> np.ndarray:
    """For 200 records: neighbours among the first 100, two components for the others."""
    latents = outputs["latent_mean"].astype(np.float64)
    estimate = LedoitWolf().fit(latents[:100])
    search = NearestNeighbors(
        n_neighbors=5, metric="mahalanobis", metric_params={"VI": estimate.precision_}
    ).fit(latents[:100])
    distances = search.kneighbors(latents)[0].mean(axis=1)
    errors = _errors(x, outputs)
    statistics = np.log(
        np.column_stack(
            [(errors**2).mean(axis=(1, 2, 3)), np.abs(errors).mean(axis=(1, 2, 3)), distances]
        )
    )
    scaler = StandardScaler().fit(statistics[100:])
    mixture = GaussianMixture(2, random_state=0, reg_covar=1e-4)
    standardised = scaler.transform(statistics)
    return -mixture.fit(standardised[100:]).score_samples(standardised)


def _contrast(x: np.ndarray, outputs: dict[str, Any]) -> np.ndarray:
    values = []
    for index, image in enumerate(x.astype(np.float64)):
        for restored in outputs["restorations"][:, index].astype(np.float64):
            turned = outputs["views"][1:, index].astype(np.float64)
            away = [np.log(np.mean((restored - other) ** 2)) for other in turned]
            values.append(np.log(np.mean((restored - image) ** 2)) - np.mean(away))
    return np.reshape(values, (len(x), -1)).mean(axis=1)


def _marginal(o: dict[str, Any]) -> np.ndarray:
    return np.log(6) - special.logsumexp(o["log_weights"].astype(np.float64), axis=0)


def _png_nats(pixels: np.ndarray) -> np.ndarray:
    lengths = [len(tf.io.encode_png(image).numpy()) for image in pixels]
    return np.array(lengths) * 8 * np.log(2)


ORACLES = {
    "map_peak": lambda x, outputs: [max(map(max, own)) for own in outputs["anomaly_map"]],
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
    "rotation_contrast": _contrast,
    "negative_elbo": lambda _, o: o["kl"].astype(np.float64) - o["expected_log_likelihood"],
    "kl": lambda _, o: o["kl"],
    "latent_knn": _nearest,
    "typicality": _untypical,
    "reconstruction_smoothed": lambda x, o: np.mean(
        ndimage.gaussian_filter(_errors(x, o), (0, 0.25, 0.25, 0)) ** 2, axis=(1, 2, 3)
    ),
    "reconstruction_relative": _relative,
    "reconstruction_probability": lambda _, o: -o["expected_log_likelihood"],
    "negative_log_likelihood": lambda _, o: _marginal(o),
    "complexity_adjusted": lambda _, o: _marginal(o) - _png_nats(o["pixels"]),
    "likelihood_regret": lambda _, o: o["elbo_gain"],
}


def test_every_score_has_an_oracle() -> None:
    """Those of feature scores are in `test_feature_scores`."""
    of_features = {name for name, score in SCORES.items() if issubclass(score, FeatureScore)}
    assert {*SCORES} - of_features - {"combined"} == {*ORACLES}


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_score_is_what_its_definition_gives(name: str, generator: np.random.Generator) -> None:
    x, outputs = _records(generator, 200)
    score = SCORES[name]()
    features = score.features(x, outputs)
    if features is not None:
        fit_scores([score], {name: np.asarray(features)})
    value = np.asarray(score(x, outputs))
    assert value.shape == (200,)
    assert value.dtype == np.float32
    # A training record is its own nearest neighbour, at a distance below float32's resolution.
    tolerance = 1e-3 if name in ("latent_knn", "typicality") else 0.0
    np.testing.assert_allclose(value, ORACLES[name](x, outputs), rtol=2e-4, atol=tolerance)


@pytest.mark.parametrize("shape", [(5, 316, 316, 1), (5, 1, 9, 3), (5, 60, 20, 1)])
def test_relative_errors_are_of_a_bounded_number_of_parts(
    shape: tuple[int, ...], generator: np.random.Generator
) -> None:
    x = generator.random(shape, dtype=np.float32)
    features = np.asarray(
        SCORES["reconstruction_relative"]().features(x, {"reconstruction": 0 * x})
    )
    assert features.shape[1] <= 50


def test_perfectly_drawn_flat_records_have_a_finite_relative_error() -> None:
    flat = np.ones((20, 6, 5, 1), np.float32)
    score = SCORES["reconstruction_relative"]()
    score.fit(np.asarray(score.features(flat, {"reconstruction": flat})))
    as_ever, worse = (np.asarray(score(flat, {"reconstruction": y})) for y in (flat, 0.9 * flat))
    assert np.isfinite(as_ever).all()
    assert np.all(worse > as_ever)


def test_neighbours_are_sought_among_a_bounded_core_set(generator: np.random.Generator) -> None:
    latents = generator.normal(size=(5000, 2)).astype(np.float32)
    score = LatentNeighbours()
    score.fit(latents)
    beyond, within = latents[4096:4200], latents[:100]
    x = np.zeros((1, 2, 2, 1), np.float32)
    distances = [np.asarray(score(x, {"latent_mean": part})) for part in (beyond, within)]
    estimate = LedoitWolf().fit(latents.astype(np.float64))
    search = NearestNeighbors(
        n_neighbors=5, metric="mahalanobis", metric_params={"VI": estimate.precision_}
    ).fit(latents[:4096])
    expected = search.kneighbors(beyond)[0].mean(axis=1)
    np.testing.assert_allclose(distances[0], expected, rtol=5e-3, atol=1e-3)
    assert distances[1].mean() < distances[0].mean()


@pytest.mark.parametrize("factor", [0.02, 20.0], ids=["easier", "harder"])
def test_what_is_easier_is_as_untypical_as_what_is_harder(
    factor: float, generator: np.random.Generator
) -> None:
    x, outputs = _records(generator, 1000)
    score = SCORES["typicality"]()
    score.fit(np.asarray(score.features(x, outputs)))
    normal = np.asarray(score(x, outputs))[500:]
    changed = {**outputs, "reconstruction": x + factor * (outputs["reconstruction"] - x)}
    assert np.median(np.asarray(score(x, changed))) > np.quantile(normal, 0.9)


def test_fewer_training_records_than_neighbours_will_do(generator: np.random.Generator) -> None:
    score = LatentNeighbours()
    score.fit(generator.normal(size=(3, 2)).astype(np.float32))
    value = score(np.zeros((1, 2, 2, 1)), {"latent_mean": np.zeros((4, 2), np.float32)})
    assert np.isfinite(np.asarray(value)).all()


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (3, np.uint8), (3, np.uint16)])
def test_code_length_is_that_of_a_lossless_image(
    channels: int, dtype: type, generator: np.random.Generator
) -> None:
    noise = generator.integers(0, np.iinfo(dtype).max, (2, 16, 16, channels), dtype)
    lengths = np.asarray(code_length(np.concatenate([noise, np.zeros_like(noise)])))
    entropy = noise[0].size * np.iinfo(dtype).bits * np.log(2)
    assert np.all(lengths[:2] > entropy), "noise has no shorter code"
    assert np.all(lengths[:2] < 1.4 * entropy + 600)
    assert np.all(lengths[2:] < lengths[:2] / 2)


def test_complexity_needs_probabilities_and_channels_of_a_png() -> None:
    grey = ImageConfig(8, 8, 1, 8)
    names = ScoringConfig(scores=("complexity_adjusted", "latent_mahalanobis"))
    full = PreprocessingConfig("full_range")
    levels = VariationalConfig(likelihood="discretised_logistic")
    assert score_names(Configuration(levels, grey, full, scoring=names)) == names.scores
    with pytest.raises(ConfigError, match=r"needs model.likelihood 'discretised_logistic'"):
        score_names(Configuration(VariationalConfig(), grey, full, scoring=names))
    with pytest.raises(ConfigError, match=r"1, 3 or 4 channels.*Received: 2"):
        score_names(Configuration(levels, ImageConfig(8, 8, 2, 8), full, scoring=names))


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
    x, outputs = _records(generator, 3)
    fitted = [score for score in scores if score.features(x, outputs) is not None]
    for score in fitted:
        if score.name == "latent_mahalanobis":
            assert np.isfinite(np.asarray(score(x, outputs))).all()
        else:
            with pytest.raises(ValueError, match="not fitted"):
                score(x, outputs)


def _configuration(kind: str, **scoring: Any) -> Configuration:
    return Configuration(MODEL_CONFIGS[kind](), scoring=ScoringConfig(**scoring))


@pytest.mark.parametrize(
    ("kind", "names"), [("ae", RECONSTRUCTION), ("dae", RECONSTRUCTION), ("vae", VARIATIONAL)]
)
def test_without_a_choice_a_kind_has_all_but_its_costly_scores(
    kind: str, names: tuple[str, ...]
) -> None:
    config = _configuration(kind)
    assert score_names(config) == names
    assert primary_score(config) == "reconstruction_smoothed"


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
    """One value that is off by 1 raises the mean of each window containing it by 1 / its size."""
    x = np.zeros((3, *shape), np.float32)
    spoilt = x.copy()
    spoilt[1, 0, 0, 0], spoilt[2, shape[0] // 2, shape[1] // 2, -1] = 1.0, -1.0
    found = SCORES["reconstruction_max"]()(x, {"reconstruction": spoilt})
    share = 1 / (window[0] * window[1] * shape[2])
    np.testing.assert_allclose(found, [0, share, share], rtol=1e-5)


@pytest.mark.parametrize("primary", ["kl", "reconstruction_mae"])
def test_the_primary_score_must_be_among_the_chosen(primary: str) -> None:
    config = _configuration("ae", scores=("reconstruction_mse",), primary=primary)
    with pytest.raises(ConfigError, match=rf"scoring.primary .*Received: '{primary}'"):
        primary_score(config)


def test_without_the_default_the_first_of_the_chosen_is_primary() -> None:
    chosen = _configuration("ae", scores=("latent_knn", "reconstruction_mse"))
    assert primary_score(chosen) == "latent_knn"
    chosen = _configuration("ae", scores=("latent_knn", "reconstruction_smoothed"))
    assert primary_score(chosen) == "reconstruction_smoothed"


def test_a_score_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"repeats a name. Received: .*latent_knn"):
        score_names(_configuration("ae", scores=("latent_knn", "latent_knn")))


def test_copies_of_training_records_score_alike_whatever_rounds_them(
    generator: np.random.Generator,
) -> None:
    """For example, one image in ten of the same tile: their distance is 0, not a sum's rounding."""
    latents = np.concatenate([generator.normal(size=(90, 8)), np.full((10, 8), 3.0)])
    x = generator.random((100, 6, 5, 1), dtype=np.float32)
    outputs = {"latent_mean": latents.astype(np.float32), "reconstruction": 0.9 * x}
    nudged = {**outputs, "latent_mean": (latents * (1 + 2.0**-22)).astype(np.float32)}
    for name in ("latent_knn", "typicality"):
        score = SCORES[name]()
        score.fit(np.repeat(np.asarray(score.features(x, outputs)), 2, axis=0))
        value = np.asarray(score(x, outputs))
        difference = np.abs(np.asarray(score(x, nudged)) - value).max()
        assert difference < 1e-5 * np.abs(value).mean(), name


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
