"""Scores of a frozen network's features, against NumPy, SciPy and scikit-learn."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from ae_models.calibration.p_values import conformal_p_values
from ae_models.config.configuration import Configuration, ScoringConfig
from ae_models.config.features import FeaturesConfig
from ae_models.config.model import AutoencoderConfig
from ae_models.errors import ConfigError
from ae_models.scores import SCORES, Score, primary_score, score_names
from ae_models.scores.combined import Combined
from ae_models.scores.feature_density import GaussianScore
from ae_models.scores.log_distance import LogDistance
from ae_models.scores.place_density import PlaceDensity

_WIDTHS = (3, 5)
_RANDOM = np.random.default_rng(0)
_MIXED = _RANDOM.normal(size=(8, 8))


def _maps(count: int, side: int = 6, seed: int = 1) -> np.ndarray:
    """Correlated features on a grid, with different scales, and with means that depend on the
    place."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, side, side, 8)) @ _MIXED * np.geomspace(0.1, 10, 8)
    return (x + np.linspace(0, 2, side)[:, None, None]).astype(np.float32)


def _outputs(x: np.ndarray) -> dict[str, Any]:
    layers = [x[..., :3], x[..., 3:]]
    return {"layers": layers, "fine_maps": layers, "coarse_residual": x - x.mean(axis=0)}


def _fitted(name: str, train: np.ndarray) -> Score:
    score = SCORES[name]()
    wanted = score.features(train, _outputs(train))
    assert wanted is not None
    score.fit(np.asarray(wanted))
    return score


def _log_distance(train: np.ndarray, x: np.ndarray) -> np.ndarray:
    """By scikit-learn."""
    mean, scale = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    estimate = LedoitWolf().fit((train - mean) / scale)
    return np.log(estimate.mahalanobis((x - mean) / scale) / x.shape[1])


def _means(x: np.ndarray) -> np.ndarray:
    return x.mean(axis=(1, 2), dtype=np.float64)


def _extremes(train: np.ndarray, x: np.ndarray) -> np.ndarray:
    def statistics(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ordered = np.sort(maps[..., 3:].reshape(len(maps), -1, 5), axis=1)
        count = ordered.shape[1]
        low, high = ordered[:, int(0.05 * count)], ordered[:, int(0.95 * count)]
        return np.concatenate([low, high], axis=1), ordered[:, -1]

    pairs = zip(statistics(train), statistics(x), strict=True)
    return np.mean([_log_distance(known, seen) for known, seen in pairs], axis=0)


def _residual(train: np.ndarray, x: np.ndarray) -> np.ndarray:
    def windows(maps: np.ndarray) -> np.ndarray:
        residual = maps - maps.mean(axis=0)
        parts = [residual[:, a : a + 4, b : b + 4] for a in (0, 2) for b in (0, 2)]
        return np.stack([part.mean(axis=(1, 2)) for part in parts])

    known, seen = windows(train), windows(x)
    # The order in which windows are concatenated does not change a Gaussian of all of them.
    return np.max([_log_distance(np.concatenate(known), part) for part in seen], axis=0)


def _neighbours(train: np.ndarray, x: np.ndarray) -> np.ndarray:
    known, seen = _means(train), _means(x)
    estimate = LedoitWolf().fit(known)
    white = np.linalg.cholesky(np.linalg.inv(estimate.covariance_))
    search = NearestNeighbors(n_neighbors=5).fit((known - known.mean(0)) @ white)
    return search.kneighbors((seen - known.mean(0)) @ white)[0].mean(axis=1)


_ORACLES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "feature_density": lambda train, x: _log_distance(_means(train), _means(x)),
    "stage_density": lambda train, x: np.mean(
        [
            _log_distance(_means(train)[:, part], _means(x)[:, part])
            for part in (slice(3), slice(3, 8))
        ],
        axis=0,
    ),
    "feature_extremes": _extremes,
    "residual_density": _residual,
    "feature_knn": _neighbours,
}


@pytest.mark.parametrize("name", _ORACLES)
def test_distances_are_those_of_scikit_learn(name: str) -> None:
    train, x = _maps(80), _maps(20, seed=2)
    found = np.asarray(_fitted(name, train)(x, _outputs(x)))
    np.testing.assert_allclose(found, _ORACLES[name](train, x), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", ["feature_density", "stage_density", "feature_extremes"])
def test_what_is_left_out_is_scored_as_if_nothing_had_been_fitted_to_it(name: str) -> None:
    records = _maps(60)
    score = _fitted(name, records)
    assert isinstance(score, GaussianScore)
    known = np.asarray(score(records, _outputs(records)))
    left_out = score.left_out(np.asarray(score.features(records, _outputs(records))))
    expected = np.concatenate(
        [
            np.asarray(_fitted(name, np.delete(records, n, axis=0))(own, _outputs(own)))
            for n, own in enumerate(records[:, None])
        ]
    )
    # The formula leaves the shrinkage unchanged.
    np.testing.assert_allclose(left_out, expected, atol=0.04)
    assert np.abs(left_out - expected).mean() < 0.2 * (expected - known).mean()


def test_scores_of_what_was_left_out_calibrate() -> None:
    """With about as many features as records, p-values against scores that were fitted to these
    records flag far too many; those against the left-out scores flag the stated share."""
    generator = np.random.default_rng(4)
    mixing = np.geomspace(1, 1e-3, 60)[:, None] * generator.normal(size=(60, 60))
    rates = []
    for _ in range(20):
        train, new = (
            (generator.normal(size=(n, 60)) @ mixing).astype(np.float32) for n in (80, 200)
        )
        distance = LogDistance(train)
        scores = np.asarray(distance(new))
        against = np.sort(np.asarray(distance(train))), np.sort(distance.left_out(train))
        rates.append([(conformal_p_values(scores, known) <= 0.1).mean() for known in against])
    naive, left_out = np.mean(rates, axis=0)
    assert naive > 0.3
    assert left_out == pytest.approx(0.1, abs=0.025)


@given(scale=st.floats(0.1, 10), shift=st.floats(-100, 100))
def test_a_distance_knows_no_units(scale: float, shift: float) -> None:
    features = _RANDOM.normal(size=(50, 4))
    one = LogDistance(features)(features.astype(np.float32))
    units = np.array([1.0, scale, 1.0, 1.0 / scale])
    other = LogDistance(features * units + shift * units)(
        (features * units + shift * units).astype(np.float32)
    )
    np.testing.assert_allclose(one, other, rtol=2e-2, atol=2e-2)


def test_features_that_never_vary_do_not_break_a_distance() -> None:
    features = np.concatenate([_RANDOM.normal(size=(40, 3)), np.ones((40, 2))], axis=1)
    found = np.asarray(LogDistance(features)(features.astype(np.float32)))
    assert np.isfinite(found).all()


def _places(train: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The map of one layer, by scikit-learn's components of all places."""
    mean, scale = train.mean(axis=(0, 1, 2)), train.std(axis=(0, 1, 2))
    standardised = ((train - mean) / scale).reshape(-1, train.shape[-1])
    pca = PCA(svd_solver="full").fit(standardised)
    variances = 0.99 * pca.explained_variance_ * (1 - 1 / len(standardised)) + 0.01
    shares = np.cumsum(variances[::-1])[::-1] / variances.sum()
    kept = shares < 0.1
    kept[-1] = True

    def white(maps: np.ndarray) -> np.ndarray:
        return ((maps - mean) / scale) @ pca.components_[kept].T / np.sqrt(variances[kept])

    def smooth(values: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(values, (3, 3, 1), mode="nearest")

    known = white(train)
    usual = smooth(known.mean(axis=0))
    spread = smooth(np.square(known - usual).mean(axis=0))
    spread = (len(train) * spread + 20) / (len(train) + 20)
    return (np.square(white(x) - usual) / spread).mean(axis=-1)


def test_the_least_usual_place_is_that_of_its_own_gaussian() -> None:
    train, x = _maps(80), _maps(20, seed=2)
    maps = [_places(train[..., part], x[..., part]) for part in (slice(3), slice(3, 8))]
    expected = np.mean([np.log(m.max(axis=(1, 2))) for m in maps], axis=0)
    found = np.asarray(_fitted("place_density", train)(x, _outputs(x)))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_one_odd_place_is_seen_by_the_place_and_hardly_by_the_whole() -> None:
    train, x = _maps(200, side=12), _maps(100, side=12, seed=2)
    odd = x.copy()
    # Along the direction in which features vary least.
    scale = train.reshape(-1, 8).std(axis=0)
    variances, directions = np.linalg.eigh(np.corrcoef(train[..., 3:].reshape(-1, 5).T))
    odd[:, 5, 7, 3:] += 20 * np.sqrt(variances[0]) * directions[:, 0] * scale[3:]

    def shift(name: str) -> float:
        score = _fitted(name, train)
        before, after = (np.asarray(score(m, _outputs(m))) for m in (x, odd))
        return float((after - before).mean() / before.std())

    assert shift("place_density") > 5 * max(1.0, shift("feature_density"))


def test_places_count_for_more_where_nothing_moves() -> None:
    noise = np.random.default_rng(5).normal(size=(60, 6, 6, 8)).astype(np.float32)
    scene = 3 * np.random.default_rng(6).normal(size=(6, 6, 8)).astype(np.float32)
    moving, still = (_fitted("place_density", x) for x in (noise, noise + scene))
    assert isinstance(moving, PlaceDensity)
    assert isinstance(still, PlaceDensity)
    assert moving.alignment < 0.05
    assert still.alignment == pytest.approx(0.9, abs=0.15)  # 9 of 9 + 1, less for small variance
    parts = {name: np.array([-1.0, 1.0]) for name in Combined.parts}
    odd = {f"score_{name}": np.float32([3.0]) for name in Combined.parts}
    found = []
    for place in (moving, still):
        score = Combined()
        score.fit_parts(parts, {"place_density": place})
        found.append(float(np.asarray(score(None, odd))[0]))
    # The remainder is the same for both, except for a hundredth of the weight.
    (one, at_one), (other, at_other) = (_weight_and_margin(p) for p in (moving, still))
    expected = other * (3 - at_other) - one * (3 - at_one) + 0.01 * 3 * (other - one)
    assert found[1] - found[0] == pytest.approx(expected, abs=0.02)
    assert found[1] - found[0] > 5


def _weight_and_margin(place: PlaceDensity) -> tuple[float, float]:
    return 0.3 + 3.7 * place.alignment, 1.5 * (1 - place.alignment)


def test_combined_is_the_sum_of_what_is_unusual() -> None:
    generator = np.random.default_rng(3)
    held_out = {name: generator.normal(2, 3, 500) for name in Combined.parts}
    score = Combined()
    noise = generator.normal(size=(80, 6, 6, 8)).astype(np.float32)
    place = _fitted("place_density", noise)
    assert isinstance(place, PlaceDensity)
    score.fit_parts(held_out, {"place_density": place})
    weight, margin = _weight_and_margin(place)

    def of(**parts: float) -> float:
        values = {
            f"score_{name}": np.array([held_out[name].mean() + n * held_out[name].std()], "f4")
            for name, n in {**dict.fromkeys(Combined.parts, 0.0), **parts}.items()
        }
        return float(np.asarray(score(None, values))[0])

    usual = of()
    assert usual == pytest.approx(0.0, abs=0.05)
    in_place = weight * (5 - margin) + 0.01 * weight * 5
    assert of(place_density=5.0) - usual == pytest.approx(in_place, abs=0.02)
    assert of(place_density=1.4) - usual == pytest.approx(0.01 * weight * 1.4, abs=0.01)
    whole = np.std(
        [
            sum(
                w * (held_out[n] - held_out[n].mean()) / held_out[n].std()
                for n, w in (
                    ("feature_density", 3),
                    ("feature_extremes", 2),
                    ("residual_density", 1),
                )
            )
        ]
    )
    for name, share in (("feature_density", 3), ("feature_extremes", 2), ("residual_density", 1)):
        assert of(**{name: 6.0}) - usual == pytest.approx(1.01 * 6 * share / whole, rel=0.05)
    # Neither hides the other, and both together exceed each.
    both = of(place_density=5.0, feature_density=6.0)
    assert both > max(of(place_density=5.0), of(feature_density=6.0))
    # Normal records are still ordered.
    assert of(feature_density=-1.0) > of(feature_density=-2.0) > of(feature_density=-3.0)


def _configured(scores: tuple[str, ...] | None = None, backbone: str = "x") -> Configuration:
    return Configuration(
        AutoencoderConfig(),
        scoring=ScoringConfig(scores),
        features=FeaturesConfig(backbone),
    )


def test_combined_is_primary_where_it_can_be_had() -> None:
    assert primary_score(_configured()) == "combined"
    assert primary_score(_configured(backbone="none")) == "reconstruction_smoothed"
    assert not {"combined", "feature_density"} & {*score_names(_configured(backbone="none"))}
    named = (*Combined.parts, "combined")
    assert score_names(_configured(named)) == named
    with pytest.raises(ConfigError, match=r"combined is computed from .* Missing: place_density"):
        score_names(_configured(("combined", *Combined.parts[:3])))
    with pytest.raises(ConfigError, match=r"needs features.backbone. Received: 'none'"):
        score_names(_configured(("feature_density",), backbone="none"))


@pytest.mark.parametrize("name", ["feature_density", "place_density"])
def test_a_feature_that_training_hardly_knows_is_not_all_that_counts(name: str) -> None:
    train, x = _maps(80), _maps(40, seed=2)
    train[..., 1], x[..., 1] = 0, 0
    fired = x.copy()
    fired[:, 2, 3, 1] = x[..., 0].std()  # as far as another feature goes
    score = _fitted(name, train)
    before, after = (np.asarray(score(m, _outputs(m))) for m in (x, fired))
    assert before.std() > 0.01
    assert np.abs(after - before).max() < 30 * before.std()
