"""Scores from a frozen network's features without training: baselines for models of features."""

from collections.abc import Callable, Mapping

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

# The maps of each layer, (N, h, w, C) float32, by name.
Maps = Mapping[str, np.ndarray]
# Fitted to normal images; then maps → (N,), greater is more anomalous.
FeatureControl = Callable[[Maps], Callable[[Maps], np.ndarray]]

LAYERS = ("stage_4", "stage_5", "stage_6", "stage_7", "pooled")
_NEIGHBOURS = 5
_MOST_PLACES, _CORE_SET = 20_000, 2000
_RIDGE = 0.01


def _gaussian(layers: tuple[str, ...]) -> FeatureControl:
    """The Mahalanobis distance of the mean over all places, with a Ledoit-Wolf covariance."""

    def means(maps: Maps) -> np.ndarray:
        return np.concatenate([maps[name].mean(axis=(1, 2)) for name in layers], axis=1)

    def fit(train: Maps) -> Callable[[Maps], np.ndarray]:
        estimate = LedoitWolf().fit(means(train).astype(np.float64))
        return lambda maps: estimate.mahalanobis(means(maps))

    return fit


def _pooled_neighbours(train: Maps) -> Callable[[Maps], np.ndarray]:
    """The mean distance of the pooled head to its 5 nearest neighbours."""
    vectors = train["pooled"][:, 0, 0]
    search = NearestNeighbors(n_neighbors=_NEIGHBOURS).fit(vectors)
    return lambda maps: search.kneighbors(maps["pooled"][:, 0, 0])[0].mean(axis=1)


def _patch_residual(layer: str, pool: Callable[[np.ndarray], np.ndarray]) -> FeatureControl:
    """The residual of each place under principal components with 90% of the variance."""

    def fit(train: Maps) -> Callable[[Maps], np.ndarray]:
        places = _some(train[layer].reshape(-1, train[layer].shape[-1]))
        pca = PCA(0.9, svd_solver="full").fit(places)

        def score(maps: Maps) -> np.ndarray:
            flat = maps[layer].reshape(-1, places.shape[1])
            rest = flat - pca.inverse_transform(pca.transform(flat))
            return pool(np.square(rest).sum(axis=1).reshape(len(maps[layer]), -1))

        return score

    return fit


def _patch_neighbours(layer: str) -> FeatureControl:
    """The greatest distance of a place to the nearest member of a greedily chosen core-set of 2,000
    (PatchCore, Roth et al. 2022)."""

    def fit(train: Maps) -> Callable[[Maps], np.ndarray]:
        places = _some(train[layer].reshape(-1, train[layer].shape[-1]))
        search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(_core_set(places))

        def score(maps: Maps) -> np.ndarray:
            flat = maps[layer].reshape(-1, places.shape[1])
            return search.kneighbors(flat)[0].reshape(len(maps[layer]), -1).max(axis=1)

        return score

    return fit


def _core_set(places: np.ndarray) -> np.ndarray:
    """Chooses places one by one, each farthest from those before it."""
    distances, chosen = np.full(len(places), np.inf), 0
    found = []
    for _ in range(min(_CORE_SET, len(places))):
        found.append(chosen)
        distances = np.minimum(distances, np.square(places - places[chosen]).sum(axis=1))
        chosen = int(distances.argmax())
    return places[found]


def _per_place(layer: str) -> FeatureControl:
    """The greatest Mahalanobis distance of a place to that place's Gaussian (PaDiM, Defard et al.
    2021)."""

    def fit(train: Maps) -> Callable[[Maps], np.ndarray]:
        maps = train[layer].astype(np.float64)
        mean = maps.mean(axis=0)
        centred = maps - mean
        covariance = np.einsum("nhwc,nhwd->hwcd", centred, centred, optimize=True) / len(maps)
        ridge = _RIDGE * np.trace(covariance.mean(axis=(0, 1))) / maps.shape[-1]
        inverse = np.linalg.inv(covariance + ridge * np.eye(maps.shape[-1]))

        def score(found: Maps) -> np.ndarray:
            apart = found[layer] - mean
            squares = np.einsum("nhwc,hwcd,nhwd->nhw", apart, inverse, apart, optimize=True)
            return np.asarray(squares.max(axis=(1, 2)))

        return score

    return fit


def _some(places: np.ndarray) -> np.ndarray:
    if len(places) <= _MOST_PLACES:
        return places
    chosen = np.random.default_rng(0).choice(len(places), _MOST_PLACES, replace=False)
    return places[np.sort(chosen)]


FEATURE_CONTROLS: dict[str, FeatureControl] = {
    **{f"Gaussian, {name.replace('_', ' ')}": _gaussian((name,)) for name in LAYERS[1:4]},
    "Gaussian, stages 5 to 7": _gaussian(LAYERS[1:4]),
    "pooled head, 5-NN": _pooled_neighbours,
    "patch PCA residual, stage 6, mean": _patch_residual("stage_6", lambda d: d.mean(axis=1)),
    "patch PCA residual, stage 6, maximum": _patch_residual("stage_6", lambda d: d.max(axis=1)),
    "patch 1-NN, core-set, stage 5": _patch_neighbours("stage_5"),
    "Gaussian of each place, stage 5": _per_place("stage_5"),
}
