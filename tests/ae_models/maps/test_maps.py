"""Anomaly maps, against SciPy, scikit-learn, Pillow, TensorFlow and NumPy."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy import ndimage, stats
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from ae_models.config.configuration import Configuration, ImageConfig, ScoringConfig
from ae_models.config.features import FeaturesConfig
from ae_models.config.maps import map_size
from ae_models.config.model import (
    AutoencoderConfig,
    DenoisingConfig,
    ModelConfig,
    VariationalConfig,
)
from ae_models.errors import ConfigError
from ae_models.maps.density import DensityMap
from ae_models.maps.error import ErrorMap
from ae_models.maps.likelihood import LikelihoodMap
from ae_models.maps.nearest import NearestPlaces, farthest_points
from ae_models.maps.places import Places
from ae_models.maps.registry import MAPS, map_name, new_map
from ae_models.ops.resampling import resampled, resampling
from ae_models.scores.map_peak import MapPeak
from ae_models.scores.registry import score_names

_MIXING = np.random.default_rng(0).normal(size=(6, 6)) * np.geomspace(0.1, 10, 6)


def _random(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _features(count: int, size: tuple[int, int], seed: int = 1) -> np.ndarray:
    """Correlated features, (N, h, w, 6), with different scales, and with means that depend on the
    place."""
    x = np.random.default_rng(seed).normal(size=(count, *size, 6)) @ _MIXING
    return (x + np.linspace(0, 2, size[0])[:, None, None]).astype(np.float32)


def _enlarged(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Enlarged by Pillow."""
    sides = (size[1], size[0])
    images = [Image.fromarray(one).resize(sides, Image.Resampling.BILINEAR) for one in maps]
    return np.stack([np.asarray(image) for image in images])


def _blurred(maps: np.ndarray, sigma: float) -> np.ndarray:
    """Blurred by SciPy."""
    return ndimage.gaussian_filter(maps.astype(np.float64), (0, sigma, sigma), mode="reflect")


def _block_means(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    rows, columns = maps.shape[1] // size[0], maps.shape[2] // size[1]
    blocks = maps.reshape(-1, size[0], rows, size[1], columns).astype(np.float64)
    return blocks.mean((2, 4))


# The size of maps.


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ((28, 28), (28, 28)),
        ((64, 64), (64, 64)),
        ((127, 127), (127, 127)),
        ((128, 128), (64, 64)),
        ((224, 224), (112, 112)),
        ((320, 320), (80, 80)),
        ((640, 640), (80, 80)),
        ((1, 1), (1, 1)),
        ((480, 640), (120, 160)),
        ((130, 301), (65, 151)),  # the remainder at an edge has a separate place
        ((20, 2000), (20, 2000)),
    ],
)
def test_a_map_has_some_64_places_along_the_shorter_side(
    frame: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert map_size(frame) == expected


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_places_are_square_and_neither_few_nor_many(height: int, width: int) -> None:
    rows, columns = map_size((height, width))
    shorter, places = min(height, width), min(rows, columns)
    assert min(shorter, 64) <= places <= 128
    cells = [2**n for n in range(13) if (-(-height // 2**n), -(-width // 2**n)) == (rows, columns)]
    assert cells, "one side of a place is the same power of two along both axes"


# Resampling.


@settings(deadline=None)  # SciPy's first call
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([0.0, 0.3, 1.0, 5.0]))
def test_each_place_is_a_mean_of_old_ones(old: int, new: int, sigma: float) -> None:
    matrix = resampling(old, new, sigma)
    assert matrix.shape == (new, old)
    assert matrix.min() >= 0.0
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("old", "new"), [((4, 4), (8, 8)), ((7, 5), (64, 80)), ((1, 3), (5, 4)), ((9, 6), (9, 7))]
)
def test_finer_grids_have_straight_lines_between_centres_as_in_pillow(
    old: tuple[int, int], new: tuple[int, int]
) -> None:
    x = _random(3, *old)
    np.testing.assert_allclose(resampled(x, new, 0.0), _enlarged(x, new), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("old", "new"), [((8, 8), (4, 4)), ((12, 6), (4, 6)), ((6, 12), (1, 3)), ((5, 7), (5, 7))]
)
def test_coarser_grids_have_means_of_blocks(old: tuple[int, int], new: tuple[int, int]) -> None:
    x = _random(3, *old)
    found = np.asarray(resampled(x, new, 0.0))
    np.testing.assert_allclose(found, _block_means(x, new), rtol=1e-5, atol=1e-6)


@settings(deadline=None)
@given(old=st.tuples(st.integers(2, 20), st.integers(2, 20)), data=st.data())
def test_coarser_grids_of_any_size_have_means_over_areas_as_in_tensorflow(
    old: tuple[int, int], data: st.DataObject
) -> None:
    new = (data.draw(st.integers(1, old[0])), data.draw(st.integers(1, old[1])))
    x = _random(2, *old)
    expected = tf.image.resize(x[..., None], new, method="area")[..., 0]
    np.testing.assert_allclose(resampled(x, new, 0.0), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("size", [(20, 20), (9, 31)])
def test_smoothing_is_the_gaussian_filter_of_scipy(size: tuple[int, int], sigma: float) -> None:
    x = _random(3, *size)
    found = np.asarray(resampled(x, size, sigma))
    np.testing.assert_allclose(found, _blurred(x, sigma), rtol=1e-4, atol=1e-5)


def test_the_gaussian_is_in_places_of_the_new_grid() -> None:
    x = _random(2, 6, 6)
    finer = np.asarray(resampled(x, (24, 12), 2.0))
    np.testing.assert_allclose(finer, _blurred(_enlarged(x, (24, 12)), 2.0), rtol=1e-4, atol=1e-5)
    coarser = np.asarray(resampled(x, (3, 3), 0.8))
    expected = _blurred(_block_means(x, (3, 3)), 0.8)
    np.testing.assert_allclose(coarser, expected, rtol=1e-4, atol=1e-5)


# Maps from what a model rebuilds.


@pytest.mark.parametrize(
    ("image", "size"),
    [((28, 28), (28, 28)), ((20, 30), (20, 30)), ((32, 48), (16, 24))],
)
def test_the_error_of_pixels_is_their_squared_residual_under_a_gaussian(
    image: tuple[int, int], size: tuple[int, int]
) -> None:
    x, rebuilt = _random(4, *image, 3), _random(4, *image, 3, seed=2)
    found = np.asarray(ErrorMap(size)(x, {"reconstruction": rebuilt}))
    squares = np.square(x.astype(np.float64) - rebuilt).mean(axis=-1)
    expected = _blurred(_block_means(squares, size), 0.02 * min(size))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_error_of_features_is_not_smoothed_but_enlarged() -> None:
    x, rebuilt = _random(4, 5, 5, 7), _random(4, 5, 5, 7, seed=2)
    found = np.asarray(ErrorMap((80, 80))(x, {"reconstruction": rebuilt}))
    expected = _enlarged(np.square(x - rebuilt).mean(axis=-1), (80, 80))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("grid", [(40, 40), (5, 5)])
def test_the_likelihood_is_that_of_each_pixel_in_nats(grid: tuple[int, int]) -> None:
    x, mean = _random(4, *grid, 3), _random(4, *grid, 3, seed=2)
    outputs = {"log_likelihood_per_value": stats.norm.logpdf(x, mean, 0.1).astype(np.float32)}
    found = np.asarray(LikelihoodMap((40, 40))(x, outputs))
    nats = (np.square((x - mean) / 0.1) / 2 + np.log(0.1 * np.sqrt(2 * np.pi))).mean(axis=-1)
    expected = _blurred(nats, 0.8) if grid == (40, 40) else _enlarged(nats, (40, 40))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


# The core-set, and its nearest place.


def _greedy(points: np.ndarray, count: int) -> list[int]:
    """Repeatedly one that is farthest from all chosen so far, by all distances."""
    taken = [0]
    while len(taken) < min(count, len(points)):
        away = np.square(points[:, None] - points[taken]).sum(axis=-1).min(axis=1)
        taken.append(int(away.argmax()))
    return taken


# Integers: no distance is rounded, so that ties are ties.
_POINTS = arrays(
    np.float64,
    st.tuples(st.integers(1, 25), st.integers(1, 3)),
    elements=st.integers(-20, 20).map(float),
)


@settings(deadline=None)
@given(_POINTS, st.integers(1, 30))
def test_a_core_set_is_taken_greedily(points: np.ndarray, count: int) -> None:
    found = farthest_points(points, count)
    np.testing.assert_array_equal(found, points[_greedy(points, count)])


@settings(deadline=None)
@given(_POINTS, st.integers(0, 10))
def test_nothing_is_left_out_where_there_are_no_more_than_asked_for(
    points: np.ndarray, spare: int
) -> None:
    distinct = {tuple(point) for point in points.tolist()}
    twice = np.concatenate([points, points])
    found = farthest_points(twice, len(distinct) + spare)
    assert {tuple(point) for point in found.tolist()} == distinct
    assert len(found) == min(len(distinct) + spare, len(twice))


def test_few_points_of_many_are_spread_over_all() -> None:
    """One distant cluster of three points among a thousand: a core-set of ten includes it."""
    points = np.concatenate([_random(1000, 4), _random(3, 4) + 50]).astype(np.float32)
    assert (farthest_points(points, 10)[:, 0] > 25).any()


def test_the_distance_is_that_to_the_nearest_of_the_core_set_by_scikit_learn() -> None:
    train, x = _features(10, (16, 16)), _features(3, (16, 16), seed=2)
    nearest = NearestPlaces.of(train)
    assert nearest.core.shape == (2000, 6)
    assert nearest.core.dtype == np.int8
    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(nearest.points)
    white = (x.astype(np.float64).reshape(-1, 6) - nearest.mean) @ nearest.matrix
    expected = search.kneighbors(white)[0][:, 0] ** 2 / 6
    found = np.asarray(nearest(x))
    assert found.shape == (3, 16, 16)
    np.testing.assert_allclose(found.reshape(-1), expected, rtol=1e-3, atol=1e-5)


def test_places_are_whitened_as_by_principal_components_of_scikit_learn() -> None:
    train = _features(10, (16, 16))
    places = train.reshape(-1, 6).astype(np.float64)
    standardised = (places - places.mean(axis=0)) / places.std(axis=0)
    pca = PCA(svd_solver="full").fit(standardised)
    variances = pca.explained_variance_ * (1 - 1 / len(places))
    shrunk = variances + 0.1 * variances.mean()
    # Distances, which rotations and reflections do not change.
    expected = standardised @ (pca.components_.T / np.sqrt(shrunk))
    nearest = NearestPlaces.of(train)
    found = (places - nearest.mean) @ nearest.matrix
    pairs = np.random.default_rng(0).integers(0, len(places), (2, 500))
    one, other = (np.linalg.norm(w[pairs[0]] - w[pairs[1]], axis=1) for w in (found, expected))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_place_that_is_in_the_core_set_is_at_no_distance() -> None:
    train = _features(4, (12, 12))  # fewer places than a core-set's capacity
    nearest = NearestPlaces.of(train)
    assert len(nearest.core) == 4 * 12 * 12
    rounding = float(np.mean(np.square(nearest.steps / 2)))  # no step is off by more than half
    assert float(np.max(nearest(train))) <= 1.001 * rounding
    assert float(np.median(nearest(_features(4, (12, 12), seed=2)))) > 0.01


# The usual features at each place.


@pytest.mark.parametrize("most", [12, 20, None])
def test_as_many_places_as_there_are_or_more_are_all(most: int | None) -> None:
    train, x = _features(40, (12, 9)), _features(5, (12, 9), seed=2)
    one, other = Places.of(train), Places.of(train, most)
    for name in ("mean", "matrix", "usual", "deviation", "alignment"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    np.testing.assert_array_equal(one(x), other(x))


def test_fewer_places_share_what_is_usual_in_their_blocks() -> None:
    train, x = _features(60, (12, 8)), _features(5, (12, 8), seed=2)
    found = np.asarray(Places.of(train, 4)(x))
    places = train.reshape(-1, 6).astype(np.float64)
    mean, scale = places.mean(axis=0), places.std(axis=0)
    pca = PCA(svd_solver="full").fit((places - mean) / scale)
    variances = 0.99 * pca.explained_variance_ * (1 - 1 / len(places)) + 0.01
    kept = np.cumsum(variances[::-1])[::-1] / variances.sum() < 0.1
    kept[-1] = True

    def white(maps: np.ndarray) -> np.ndarray:
        return ((maps - mean) / scale) @ pca.components_[kept].T / np.sqrt(variances[kept])

    def smooth(values: np.ndarray) -> np.ndarray:
        """Means over the blocks, (h, w, k) → (4, 4, k), then over 3 × 3 of them."""
        means = _block_means(np.moveaxis(values, -1, 0), (4, 4))
        return ndimage.uniform_filter(np.moveaxis(means, 0, -1), (3, 3, 1), mode="nearest")

    def spread(values: np.ndarray) -> np.ndarray:
        return np.moveaxis(_enlarged(np.moveaxis(values, -1, 0), (12, 8)), 0, -1)

    known = white(train)
    usual = smooth(known.mean(axis=0))
    squares = smooth(np.square(known - spread(usual)).mean(axis=0))
    deviation = np.sqrt((60 * squares + 20) / (60 + 20))
    expected = np.square((white(x) - spread(usual)) / spread(deviation)).mean(axis=-1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("most", [1, 5, 12])
def test_a_planted_deviation_is_found_however_few_places_are_known(most: int) -> None:
    train, x = _features(60, (12, 12)), _features(8, (12, 12), seed=2)
    variances, directions = np.linalg.eigh(np.corrcoef(train.reshape(-1, 6).T))
    scale = train.reshape(-1, 6).std(axis=0)
    x[:, 4, 7] += 20 * np.sqrt(variances[0]) * directions[:, 0] * scale
    found = np.asarray(Places.of(train, most)(x))
    assert found.reshape(8, -1).argmax(axis=1).tolist() == [4 * 12 + 7] * 8


# The density of features.

_SIZE, _FINE, _DETAIL = (32, 48), (8, 12), (24, 36)


def _outputs(count: int, seed: int, *, detail: bool) -> dict[str, list[np.ndarray]]:
    fine = [_features(count, _FINE, seed), _features(count, (16, 24), seed + 1)]
    return {
        "fine_maps": fine,
        "detail_maps": [_features(count, _DETAIL, seed + 2)] if detail else [],
    }


def _fitted(outputs: dict[str, list[np.ndarray]], size: tuple[int, int] = _SIZE) -> DensityMap:
    density = DensityMap(size)
    density.fit(np.asarray(density.features(None, outputs)))
    return density


@pytest.fixture(scope="module", params=[True, False], ids=["detail", "no detail"])
def fitted(request: pytest.FixtureRequest) -> tuple[DensityMap, bool]:
    """A fitted map of features, and whether it has a detail layer."""
    return _fitted(_outputs(40, 1, detail=request.param)), request.param


def test_a_patch_of_unusual_features_is_where_the_map_is_greatest(
    fitted: tuple[DensityMap, bool],
) -> None:
    density, detail = fitted
    outputs = _outputs(6, 11, detail=detail)
    usual = np.asarray(density(None, outputs))
    for maps in (*outputs["fine_maps"], *outputs["detail_maps"]):
        rows, columns = (side // part for side, part in zip(maps.shape[1:3], _FINE, strict=True))
        patch = (slice(5 * rows, 6 * rows), slice(9 * columns, 10 * columns))
        scale = maps.reshape(-1, 6).std(axis=0)
        maps[3, *patch] = maps.mean(axis=(0, 1, 2)) + 6 * scale * np.resize([1, -1], 6)
    found = np.asarray(density(None, outputs))
    assert found.shape == (6, *_SIZE)
    row, column = np.unravel_index(int(found[3].argmax()), _SIZE)
    assert (5 * 4 <= row < 6 * 4, 9 * 4 <= column < 10 * 4) == (True, True)
    assert found[3].max() > 3 * usual.max()
    others = np.arange(6) != 3
    np.testing.assert_array_equal(found[others], usual[others])


def test_the_peaks_of_usual_records_are_about_one(fitted: tuple[DensityMap, bool]) -> None:
    density, detail = fitted
    peaks = np.asarray(density(None, _outputs(60, 21, detail=detail))).max(axis=(1, 2))
    # Levels peak at different places, so the peak of their mean is lower.
    assert 0.6 < peaks.mean() < 1.1


def test_the_unit_of_a_level_is_the_mean_peak_of_the_first_quarter() -> None:
    train = {"fine_maps": [], "detail_maps": [_features(41, (16, 24))]}
    density = _fitted(train)
    peaks = np.asarray(density(None, train)).max(axis=(1, 2))
    assert peaks[:10].mean() == pytest.approx(1.0, rel=1e-5)
    assert peaks[10:].mean() != pytest.approx(1.0, rel=1e-5)
    # It is not fitted to them: what is unusual only in them stays unusual.
    odd = {"fine_maps": [], "detail_maps": [train["detail_maps"][0].copy()]}
    odd["detail_maps"][0][:10] += 3 * train["detail_maps"][0].std(axis=(0, 1, 2))
    shifted = np.asarray(_fitted(odd)(None, train)).max(axis=(1, 2))
    assert shifted[:10].mean() < 0.9


def test_a_level_is_the_distance_enlarged_and_smoothed() -> None:
    train, x = _features(40, (16, 24)), _features(5, (16, 24), seed=2)
    found = np.asarray(_fitted({"fine_maps": [train], "detail_maps": []})(None, {
        "fine_maps": [x], "detail_maps": []
    }))  # fmt: skip
    levels = []
    for level in (NearestPlaces.of(train[10:]), Places.of(train[10:], 20)):
        held_out, seen = (
            _blurred(_enlarged(np.asarray(level(maps)), _SIZE), 0.009 * 32)
            for maps in (train[:10], x)
        )
        levels.append(seen / held_out.max(axis=(1, 2)).mean())
    np.testing.assert_allclose(found, np.mean(levels, axis=0), rtol=1e-3, atol=1e-4)


def _two_sides(count: int, seed: int) -> np.ndarray:
    """Two nearly equal features, whose difference is normal on one side only."""
    generator = np.random.default_rng(seed)
    common = generator.normal(size=(count, 16, 24))
    between = np.where(np.arange(24) < 12, -0.2, 0.2) + generator.normal(0, 0.05, common.shape)
    return np.stack([common, common + between], axis=-1).astype(np.float32)


def test_of_the_layer_of_details_it_counts_where_things_are_and_of_others_what_they_are() -> None:
    train, x = _two_sides(40, 1), _two_sides(4, 2)
    moved = x.copy()
    moved[:, 6:10, 16:20, 1] -= 0.4  # as on the other side
    density = _fitted({"fine_maps": [train], "detail_maps": [train]})

    def peak(fine: np.ndarray, detail: np.ndarray) -> float:
        found = np.asarray(density(None, {"fine_maps": [fine], "detail_maps": [detail]}))
        return float(found[:, 12:20, 32:40].max())

    before = peak(x, x)
    assert peak(moved, x) < 1.2 * before
    assert peak(x, moved) > 3 * before


def test_it_must_be_fitted() -> None:
    with pytest.raises(ValueError, match="the map density is not fitted"):
        DensityMap(_SIZE)(None, _outputs(2, 1, detail=True))


@pytest.mark.parametrize("rows", [4, 24])
def test_a_record_has_the_same_map_whatever_else_is_in_the_batch(
    fitted: tuple[DensityMap, bool], rows: int
) -> None:
    density, detail = fitted
    one, other = (_outputs(rows, seed, detail=detail) for seed in (31, 41))
    maps = np.asarray(density(None, one))
    for place in (0, 1, rows - 1):
        among = {name: [layer.copy() for layer in layers] for name, layers in other.items()}
        for name, layers in among.items():
            for layer, source in zip(layers, one[name], strict=True):
                layer[place] = source[2]
        np.testing.assert_array_equal(np.asarray(density(None, among))[place], maps[2])


def test_features_that_never_vary_do_not_break_a_map() -> None:
    train = _features(30, (16, 24))
    train[..., :2] = 3.0
    density = _fitted({"fine_maps": [train], "detail_maps": [train]})
    x = _features(4, (16, 24), seed=2)
    for constant in (3.0, 3.5):
        x[..., :2] = constant
        found = np.asarray(density(None, {"fine_maps": [x], "detail_maps": [x]}))
        assert np.isfinite(found).all()


def test_a_few_records_are_enough_to_fit_a_map() -> None:
    train = _outputs(3, 1, detail=True)
    assert np.isfinite(np.asarray(_fitted(train)(None, train))).all()


# The choice of the map.


def _configured(model: ModelConfig, backbone: str | None = "none", **scoring: Any) -> Configuration:
    return Configuration(
        model,
        image=ImageConfig(128, 256, 3, 8),
        scoring=ScoringConfig(**scoring),
        features=FeaturesConfig(backbone),
    )


@pytest.mark.parametrize(
    ("model", "backbone", "asked", "expected"),
    [
        (AutoencoderConfig(), "none", None, "error"),
        (DenoisingConfig(), "none", None, "error"),
        (VariationalConfig(), "none", None, "error"),
        (AutoencoderConfig(), "x", None, "density"),
        (VariationalConfig(likelihood="gaussian"), "x", None, "density"),
        (VariationalConfig(), "none", "error", "error"),
        (AutoencoderConfig(), "x", "error", "error"),
        (VariationalConfig(likelihood="gaussian"), "x", "likelihood", "likelihood"),
        (AutoencoderConfig(), "x", "density", "density"),
        (VariationalConfig(), "none", "none", None),
        (AutoencoderConfig(), "x", "none", None),
    ],
)
def test_the_map_follows_the_model_where_none_is_named(
    model: ModelConfig, backbone: str, asked: str | None, expected: str | None
) -> None:
    config = _configured(model, backbone, map=asked)
    assert map_name(config) == expected
    made = new_map(config)
    if expected is None:
        assert made is None
    else:
        assert type(made) is MAPS[expected]
        assert made.name == expected
        assert made.size == (64, 128)


def test_only_density_is_fitted() -> None:
    assert {name for name, kind in MAPS.items() if "fit" in vars(kind)} == {"density"}
    for name in ("error", "likelihood"):
        assert MAPS[name]((8, 8)).features(None, {}) is None


def test_a_map_that_a_model_cannot_have_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"^scoring.map 'density' needs features.backbone. Received: 'none'$"
    ):
        _configured(VariationalConfig(), map="density")
    for model in (AutoencoderConfig(), DenoisingConfig()):
        with pytest.raises(
            ConfigError,
            match=rf"^scoring.map 'likelihood' needs a model of kind vae. Received: '{model.kind}'",
        ):
            _configured(model, map="likelihood")


def test_a_map_of_features_is_refused_once_it_is_known_that_there_are_none() -> None:
    config = _configured(AutoencoderConfig(), None, map="density")
    assert map_name(config.on("x")) == "density"
    with pytest.raises(ConfigError, match=r"'density' needs features\.backbone"):
        config.on("none")


def test_an_unknown_map_is_named() -> None:
    with pytest.raises(ConfigError, match=r"scoring.map must be .*density.* Received: 'heat'"):
        _configured(AutoencoderConfig(), map="heat")


# Its peak, as a score.


def test_the_peak_is_the_greatest_value() -> None:
    maps = _random(5, 7, 9) - 10  # for a likelihood, all may be below 0
    found = np.asarray(MapPeak()(None, {"anomaly_map": maps}))
    np.testing.assert_array_equal(found, maps.reshape(5, -1).max(axis=1))


def test_there_is_no_peak_without_a_map() -> None:
    with_map = _configured(AutoencoderConfig())
    without = _configured(AutoencoderConfig(), map="none")
    assert MapPeak.refusal(with_map) is None
    assert MapPeak.refusal(without) == "needs a map. Received: scoring.map 'none'"
    assert "map_peak" in score_names(with_map)
    assert "map_peak" not in score_names(without)
    with pytest.raises(ConfigError, match="the score map_peak needs a map"):
        score_names(_configured(AutoencoderConfig(), map="none", scores=("map_peak",)))


@pytest.mark.parametrize("kind", [NearestPlaces, Places])
def test_a_layer_that_never_varies_gives_a_finite_map(kind: type) -> None:
    level = kind.of(np.full((8, 6, 6, 3), 2.0, np.float32))
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype(np.float32)
    assert np.isfinite(np.asarray(level(x))).all()


def test_the_alignment_of_a_layer_that_never_varies_is_0() -> None:
    assert Places.of(np.full((8, 6, 6, 3), 2.0, np.float32)).alignment == 0.0
