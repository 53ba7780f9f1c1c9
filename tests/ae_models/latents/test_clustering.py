"""Every clustering method in one harness; then each against its components."""

import io
import json
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
from hdbscan import HDBSCAN, approximate_predict
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import (
    adjusted_rand_score,
    confusion_matrix,
    normalized_mutual_info_score,
    roc_auc_score,
)
from sklearn.mixture import GaussianMixture

from ae_models.errors import ConfigError, InputError
from ae_models.latents.clustering import CLUSTERINGS
from ae_models.latents.clustering.agreement import agreement
from ae_models.latents.clustering.model import NOISE, Clustering, ClusteringConfig, reliabilities
from ae_models.latents.clustering.model_file import read_clustering, write_clustering

_CLUSTERS = 4


def _blobs(records: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    centres = 6 * np.eye(_CLUSTERS, 5)
    points, labels = make_blobs(records, centers=centres, cluster_std=0.7, random_state=seed)[:2]
    return points.astype(np.float32), labels


# UMAP compiles itself, which takes almost a minute.
_SLOW = pytest.param("n2d", marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=[*sorted(CLUSTERINGS.keys() - {"n2d"}), _SLOW])
def fitted(request: pytest.FixtureRequest) -> Clustering:
    clusters = None if request.param == "hdbscan" else _CLUSTERS
    found, tried = CLUSTERINGS[request.param].fit(_blobs(600)[0], ClusteringConfig(clusters))
    assert not tried
    return found


def _saved(clustering: Clustering) -> io.BytesIO:
    file = io.BytesIO()
    write_clustering(file, clustering)
    file.seek(0)
    return file


def _archive(**arrays: np.ndarray) -> io.BytesIO:
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    return file


def test_finds_what_is_there(fitted: Clustering) -> None:
    points, labels = _blobs(500, seed=1)
    found = fitted.assign(points, None)
    assert fitted.count == _CLUSTERS
    clustered = found.cluster != NOISE
    assert clustered.mean() > 0.95
    assert adjusted_rand_score(labels[clustered], found.cluster[clustered]) == 1
    assert (found.probability[clustered] > 0).all()
    assert [array.dtype for array in found] == [np.int32, *[np.float32] * 3]


def test_who_lies_far_out_is_an_outlier(fitted: Clustering) -> None:
    points, _ = _blobs(300, seed=2)
    ordinary = fitted.assign(points, None)
    odd = fitted.assign(points + 15, None)
    assert odd.outlier_score.min() > np.quantile(ordinary.outlier_score, 0.9)
    assert odd.distance.min() > np.quantile(ordinary.distance, 0.9)
    assert ordinary.outlier_score.min() >= 0
    assert odd.outlier_score.max() <= 1


@pytest.mark.parametrize("uncertain", [False, True])
def test_bits_depend_on_the_record_alone(fitted: Clustering, uncertain: bool) -> None:
    points, _ = _blobs(101, seed=3)
    stddevs = np.abs(points) / 5 if uncertain else None
    whole = fitted.assign(points, stddevs)
    for rows in (slice(None, None, -1), slice(40, 41), slice(0, 64)):
        part = fitted.assign(points[rows], None if stddevs is None else stddevs[rows])
        for found, expected in zip(part, whole, strict=True):
            np.testing.assert_array_equal(found, expected[rows])


def test_a_file_gives_the_same_back(fitted: Clustering) -> None:
    points, _ = _blobs(100, seed=4)
    again = read_clustering(_saved(fitted), "it")
    assert again.latent_dim == fitted.latent_dim == 5
    for found, expected in zip(
        again.assign(points, None), fitted.assign(points, None), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_the_same_seed_gives_the_same(fitted: Clustering) -> None:
    clusters = None if fitted.method == "hdbscan" else _CLUSTERS
    again, _ = type(fitted).fit(_blobs(600)[0], ClusteringConfig(clusters))
    for name, array in again.arrays().items():
        np.testing.assert_array_equal(array, fitted.arrays()[name])


def test_a_damaged_file_is_refused(fitted: Clustering) -> None:
    content = _saved(fitted).getvalue()
    with pytest.raises(InputError, match="it contains no readable arrays"):
        read_clustering(io.BytesIO(content[: len(content) // 2]), "it")
    for name in fitted.arrays():
        kept = {key: value for key, value in fitted.arrays().items() if key != name}
        with pytest.raises(InputError, match=f"no clustering: '{name}' is missing"):
            read_clustering(_archive(method=np.asarray(fitted.method), **kept), "it")


def test_a_pickle_is_refused() -> None:
    file = _archive(method=np.asarray("kmeans"), centres=np.array([print], dtype=object))
    with pytest.raises(InputError, match="allow_pickle"):
        read_clustering(file, "it")


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive"])
def test_no_archive(content: bytes) -> None:
    with pytest.raises(InputError, match="it contains no readable arrays"):
        read_clustering(io.BytesIO(content), "it")


@pytest.mark.parametrize("method", ["kmeans", "gmm", _SLOW])
def test_the_number_of_clusters_is_found(method: str) -> None:
    config = ClusteringConfig(most_clusters=6)
    found, tried = CLUSTERINGS[method].fit(_blobs(400)[0], config)
    assert found.count == _CLUSTERS
    assert list(tried) == [2, 3, 4, 5, 6]
    best = min if method == "gmm" else max
    assert best(tried, key=tried.__getitem__) == _CLUSTERS


def test_kmeans_is_scikit_learns() -> None:
    points, _ = _blobs(300)
    clustering, _ = CLUSTERINGS["kmeans"].fit(points, ClusteringConfig(7))
    theirs = KMeans(7, n_init=10, random_state=0).fit(points)
    found = clustering.assign(points, None)
    np.testing.assert_array_equal(found.cluster, theirs.labels_)
    np.testing.assert_allclose(found.distance, theirs.transform(points).min(axis=1), rtol=1e-4)
    # This share of the cluster's own records is nearer.
    own = found.distance[found.cluster == 3]
    np.testing.assert_allclose(
        found.outlier_score[found.cluster == 3],
        (own[:, None] > own).sum(axis=1) / (len(own) - 1),
        atol=0.02,
    )


def test_a_mixture_is_scikit_learns() -> None:
    points, _ = _blobs(300)
    clustering, _ = CLUSTERINGS["gmm"].fit(points, ClusteringConfig(3))
    arrays = clustering.arrays()
    theirs = GaussianMixture(3)
    theirs.weights_, theirs.means_ = arrays["weights"], arrays["means"]
    theirs.covariances_ = arrays["covariances"]
    theirs.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(arrays["covariances"]))
    found = clustering.assign(points, None)
    expected = theirs.predict_proba(points.astype(np.float64))
    np.testing.assert_array_equal(found.cluster, expected.argmax(axis=1))
    np.testing.assert_allclose(found.probability, expected.max(axis=1), rtol=1e-5)


def test_hdbscan_predicts_as_the_package() -> None:
    points, _ = _blobs(400)
    clustering, _ = CLUSTERINGS["hdbscan"].fit(points, ClusteringConfig(min_cluster_size=12))
    theirs = HDBSCAN(min_cluster_size=12, min_samples=10, prediction_data=True).fit(
        points.astype(np.float64)
    )
    new, _ = _blobs(100, seed=5)
    labels, probabilities = approximate_predict(theirs, new.astype(np.float64))
    found = clustering.assign(new, None)
    np.testing.assert_array_equal(found.cluster, labels)
    np.testing.assert_allclose(found.probability, probabilities, rtol=1e-6)


def test_where_there_is_no_cluster_all_is_noise(generator: np.random.Generator) -> None:
    points = generator.uniform(size=(60, 3)).astype(np.float32)
    config = ClusteringConfig(min_cluster_size=29)
    clustering, _ = CLUSTERINGS["hdbscan"].fit(points, config)
    assert clustering.count == 0
    found = read_clustering(_saved(clustering), "it").assign(points, None)
    assert (found.cluster == NOISE).all()
    assert np.isnan(found.distance).all()
    np.testing.assert_array_equal(found.outlier_score, 1)


@pytest.mark.parametrize("method", ["kmeans", "gmm"])
def test_who_is_uncertain_belongs_less(method: str) -> None:
    points = np.array([[3.5, 2.5, 0, 0, 0]] * 2, np.float32)  # between two, nearer to one
    stddevs = np.array([[0.01] * 5, [3.0] * 5], np.float32)
    clustering, _ = CLUSTERINGS[method].fit(_blobs(400)[0], ClusteringConfig(_CLUSTERS))
    certain, uncertain = clustering.assign(points, stddevs).probability
    assert uncertain < certain - 0.1


def test_distance_tells_who_is_misplaced() -> None:
    points, labels = make_blobs(2000, centers=3 * np.eye(4), cluster_std=1.2, random_state=0)[:2]
    clustering, _ = CLUSTERINGS["gmm"].fit(points.astype(np.float32), ClusteringConfig(4))
    found = clustering.assign(points.astype(np.float32), None)
    matched = confusion_matrix(labels, found.cluster).argmax(axis=0)
    assert roc_auc_score(matched[found.cluster] != labels, found.distance) > 0.6


def test_agreement_is_scikit_learns(generator: np.random.Generator) -> None:
    clusters, labels = generator.integers(-1, 5, 500), generator.integers(0, 4, 500)
    labels[clusters == 2] = 1
    pairs: dict[tuple[int, str], int] = {}
    for cluster, label in zip(clusters.tolist(), labels.tolist(), strict=True):
        pairs[cluster, str(label)] = pairs.get((cluster, str(label)), 0) + 1
    found = agreement(pairs)
    assert found["records"] == 500
    nmi = normalized_mutual_info_score(labels, clusters)
    np.testing.assert_allclose(found["normalized_mutual_information"], nmi)
    ari = adjusted_rand_score(labels, clusters)
    np.testing.assert_allclose(found["adjusted_rand_index"], ari)
    matched = {int(cluster): int(label) for cluster, label in found["matched"].items()}
    right = np.array([matched.get(c) == t for c, t in zip(clusters.tolist(), labels, strict=True)])
    np.testing.assert_allclose(found["accuracy"], right.mean())
    json.dumps(found)


def test_agreement_at_its_ends() -> None:
    assert agreement({}) == {"records": 0}
    alone = agreement({(0, "a"): 3})
    perfect = agreement({(0, "a"): 3, (1, "b"): 2})
    for found in (alone, perfect):
        assert found["accuracy"] == found["adjusted_rand_index"] == 1
        np.testing.assert_allclose(found["normalized_mutual_information"], 1)


def test_reliability(generator: np.random.Generator) -> None:
    """Its mean is the share of variance that is signal, if all are equally uncertain."""
    truth = generator.normal(0, 2, (5000, 3))
    found = reliabilities(truth, np.full((5000, 3), 1.0))
    np.testing.assert_allclose(found, 4 / 5, rtol=0.02)
    less = reliabilities(truth, np.linspace(0.1, 5, 5000)[:, None].repeat(3, axis=1))
    assert (np.diff(less) < 0).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClusteringConfig(0), "clusters must be a whole number of at least 1. Received: 0"),
        (lambda: ClusteringConfig(most_clusters=1), "Received: 1"),
        (lambda: ClusteringConfig(min_cluster_size=1), "Received: 1"),
        (
            lambda: CLUSTERINGS["hdbscan"].fit(_blobs(50)[0], ClusteringConfig(3)),
            "--min_cluster_size instead. Received: --clusters 3",
        ),
        (lambda: CLUSTERINGS["kmeans"].fit(_blobs(5)[0], ClusteringConfig(9)), "Received: 9"),
        (lambda: CLUSTERINGS["gmm"].fit(_blobs(5)[0], ClusteringConfig(9)), "Received: 9"),
        (lambda: CLUSTERINGS["n2d"].fit(_blobs(5)[0], ClusteringConfig(2)), "5 records"),
    ],
)
def test_what_cannot_be(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_an_archive_is_plain(fitted: Clustering) -> None:
    with zipfile.ZipFile(_saved(fitted)) as archive:
        assert {name.removesuffix(".npy") for name in archive.namelist()} == {
            "method",
            *fitted.arrays(),
        }
