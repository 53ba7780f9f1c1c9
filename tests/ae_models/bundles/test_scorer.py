"""Scoring with a bundle: the same bits in every batch, equal to Keras, and nothing unpickled."""

import itertools
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits
from tensorflow.core.protobuf import saved_model_pb2

from ae_models.bundles.bundle import open_bundle
from ae_models.bundles.export import ScoringModule, export
from ae_models.bundles.scorer import Scorer, joined, output_names
from ae_models.errors import ConfigError
from ae_models.maps.registry import new_map
from ae_models.scores import SCORES, Score, fit_scores, score_names
from ae_models.training.preprocessing import Preprocessing
from ae_models.training.splits import id_hashes
from tests.support.digits import digit_ids, digit_pixels, digit_splits

Bundles = Callable[[str], Path]
KINDS = ["ae", "dae", "vae"]


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    """All digits from the source `builtin:digits`, (1797, 8, 8, 1) uint8."""
    return digit_pixels()


@pytest.mark.parametrize("kind", KINDS)
def test_loading_unpickles_nothing_and_runs_no_python(bundle: Bundles, kind: str) -> None:
    path = bundle(kind)  # its training may unpickle
    seen: list[str] = []
    watching = True  # an audit hook cannot be removed

    def hook(event: str, arguments: object) -> None:
        if watching and event == "pickle.find_class":
            seen.append(event)

    sys.addaudithook(hook)
    pickle.loads(pickle.dumps(Path("x")))
    assert seen == ["pickle.find_class"], "the hook sees nothing"
    opened = open_bundle(path)
    Scorer(opened.path, opened.config)
    keras.models.load_model(opened.path / "model.keras", safe_mode=True)
    watching = False
    assert seen == ["pickle.find_class"]
    for folder in ("scoring", "transform_fn/transform_fn"):
        saved = saved_model_pb2.SavedModel()
        saved.ParseFromString((opened.path / folder / "saved_model.pb").read_bytes())
        graph = saved.meta_graphs[0].graph_def
        nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
        assert nodes
        assert not {node.op for node in nodes if "PyFunc" in node.op}


def _scorer(path: Path) -> Scorer:
    opened = open_bundle(path)
    return Scorer(opened.path, opened.config)


def _assert_same_bits(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert value.dtype == np.float32
        assert value.tobytes() == right[name].tobytes(), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_scores_the_same_bits_in_every_batch(
    bundle: Bundles, kind: str, pixels: np.ndarray, generator: np.random.Generator
) -> None:
    scorer = _scorer(bundle(kind))
    rows, x = scorer.batch_rows, pixels
    assert 9 < rows < len(x), "some batches are whole, some padded"
    whole = scorer.score(x)
    _assert_same_bits(scorer.score(x), whole)
    order = generator.permutation(len(x))
    _assert_same_bits(scorer.score(x[order]), {n: v[order] for n, v in whole.items()})
    bounds = [0, 1, 2, 9, rows, rows + 1, len(x)]
    parts = [scorer.score(x[a:b]) for a, b in itertools.pairwise(bounds)]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in whole}
    _assert_same_bits(joined, whole)
    among_white = np.full((256, 8, 8, 1), 255, np.uint8)
    among_white[100] = x[3]
    _assert_same_bits(
        {n: v[100:101] for n, v in scorer.score(among_white).items()},
        {n: v[3:4] for n, v in whole.items()},
    )
    _assert_same_bits(_scorer(bundle(kind)).score(x), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_no_record_has_no_scores_but_all_their_columns(
    bundle: Bundles, kind: str, pixels: np.ndarray
) -> None:
    scorer = _scorer(bundle(kind))
    some, none = scorer.score(pixels[:3]), scorer.score(pixels[:0])
    latents = ["latent_mean", *(["latent_stddev"] if kind == "vae" else [])]
    config = open_bundle(bundle(kind)).config
    names = ["score", *(f"score_{name}" for name in score_names(config)), *latents]
    assert sorted(some) == sorted(none) == sorted(names)
    assert {name: v.shape[1:] for name, v in some.items()} == {
        name: v.shape[1:] for name, v in none.items()
    }
    assert some["latent_mean"].shape == (3, 6)
    assert len(none["score"]) == 0
    np.testing.assert_array_equal(some["score"], some["score_reconstruction_smoothed"])


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 8, 8, 3), (8, 8, 1)])
def test_pixels_of_another_shape_or_type_are_refused(bundle: Bundles, shape: tuple) -> None:
    scorer = _scorer(bundle("ae"))
    with pytest.raises(ValueError, match=r"pixels must be \(N, 8, 8, 1\) uint8. Received"):
        scorer.score(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match=r"Received: .* float32"):
        scorer.score(np.zeros((2, 8, 8, 1), np.float32))


def _training_split(pixels: np.ndarray) -> np.ndarray:
    chosen = digit_splits(load_digits().target != 0) == "train"
    order = np.argsort(
        id_hashes(digit_ids())
    )  # the order of the store, whose first records are a core-set
    return pixels[order[chosen[order]]]


@pytest.mark.parametrize("kind", KINDS)
def test_keras_and_the_saved_model_agree(bundle: Bundles, kind: str, pixels: np.ndarray) -> None:
    """Scores are fitted afresh here, to the records that the split assigns to training."""
    opened = open_bundle(bundle(kind))
    preprocessing = Preprocessing(opened.path / "transform_fn")
    model = keras.models.load_model(opened.path / "model.keras")
    scores = [SCORES[name]() for name in score_names(opened.config)]
    x = preprocessing(_training_split(pixels))
    outputs = model.infer(x)
    features = {score.name: score.features(x, outputs) for score in scores}
    fit_scores(scores, {name: f.numpy() for name, f in features.items() if f is not None})
    module = ScoringModule(preprocessing, model, scores, new_map(opened.config))
    by_keras = module.score(pixels)
    by_saved_model = Scorer(opened.path, opened.config).score(pixels)
    assert set(by_saved_model) == {*by_keras, "score"}
    for name, value in by_keras.items():
        scale = np.abs(value.numpy()).mean()
        np.testing.assert_allclose(
            by_saved_model[name], value.numpy(), rtol=1e-4, atol=1e-4 * scale, err_msg=name
        )


def test_the_scaled_input_is_the_share_of_the_range(bundle: Bundles, pixels: np.ndarray) -> None:
    outputs = _scorer(bundle("ae")).reconstruct(pixels[:9])
    np.testing.assert_allclose(outputs["input"], pixels[:9] / 255, rtol=1e-6)
    assert outputs["reconstruction"].shape == (9, 8, 8, 1)
    mse = ((outputs["input"] - outputs["reconstruction"]).astype(np.float64) ** 2).mean((1, 2, 3))
    scores = _scorer(bundle("ae")).score(pixels[:9])
    np.testing.assert_allclose(scores["score_reconstruction_mse"], mse, rtol=1e-5)


def test_error_maps_are_what_the_reconstruction_lacks(bundle: Bundles, pixels: np.ndarray) -> None:
    scorer = _scorer(bundle("vae"))
    found = scorer.score(pixels[:9], maps=True)
    images = scorer.reconstruct(pixels[:9])
    expected = ((images["input"] - images["reconstruction"]) ** 2).mean(axis=-1)
    np.testing.assert_allclose(found.pop("error_map"), expected, rtol=1e-4, atol=1e-7)
    without = scorer.score(pixels[:9])
    assert set(found) == set(without), "nothing else changes"
    for name, values in without.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, err_msg=name)


def test_parts_are_the_whole(bundle: Bundles, pixels: np.ndarray) -> None:
    scorer = _scorer(bundle("vae"))
    parts = list(scorer.score_parts(pixels))
    assert [len(part["score"]) for part in parts] == [1024, 773]
    _assert_same_bits(joined(parts), scorer.score(pixels))


@pytest.mark.parametrize(
    "kind", ["ae", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("dae", "vae"))]
)
def test_fewer_outputs_have_the_same_bits(bundle: Bundles, kind: str, pixels: np.ndarray) -> None:
    opened = open_bundle(bundle(kind))
    every = Scorer(opened.path, opened.config).score(pixels[:9])
    assert {*output_names(opened.config), "score"} == set(every)
    for name in output_names(opened.config):
        found = Scorer(opened.path, opened.config, [name]).score(pixels[:9])
        _assert_same_bits(found, {key: every[key] for key in (name, "score")})


def test_an_output_that_the_bundle_lacks_is_refused(bundle: Bundles) -> None:
    opened = open_bundle(bundle("ae"))
    with pytest.raises(ConfigError, match=r"no output 'latent_meen'; did you mean 'latent_mean'"):
        Scorer(opened.path, opened.config, ["latent_meen"])
    with pytest.raises(ConfigError, match="no output 'latent_stddev'"):
        Scorer(opened.path, opened.config, ["latent_stddev"])


@pytest.mark.parametrize("kind", KINDS)
def test_calibration_holds_the_scores_of_its_split(
    bundle: Bundles, kind: str, pixels: np.ndarray
) -> None:
    opened = open_bundle(bundle(kind))
    table = pq.read_table(opened.path / "calibration.parquet")
    numbers = [int(i.removeprefix("digits/")) for i in table["id"].to_pylist()]
    held_out = digit_splits(load_digits().target != 0) == "calibration"
    assert sorted(numbers) == np.flatnonzero(held_out).tolist()
    hashes = id_hashes(table["id"].to_pylist())
    assert np.all(hashes[:-1] < hashes[1:]), "in the order of their hashes"
    outputs = Scorer(opened.path, opened.config).score(pixels[numbers])
    for name in table.column_names[1:]:
        np.testing.assert_array_equal(table[name].to_numpy(), outputs[name], err_msg=name)
    np.testing.assert_array_equal(opened.calibration_scores(), np.sort(outputs["score"]))
    assert opened.manifest["calibration"]["records"] == len(numbers)
    assert opened.manifest["calibration"]["median"] == pytest.approx(np.median(outputs["score"]))


class _Unsteady(Score):
    """Differs at each call, like a score that draws new noise."""

    name = "unsteady"

    def __init__(self, spread: float):
        self.spread = spread

    def __call__(self, x: Any, outputs: Any) -> Any:
        return 1.0 + tf.random.uniform([tf.shape(x)[0]], -self.spread, self.spread)


@pytest.mark.parametrize("spread", [0.0, 1e-3])
def test_export_finds_what_differs_from_keras(
    bundle: Bundles, pixels: np.ndarray, tmp_path: Path, spread: float
) -> None:
    opened = open_bundle(bundle("ae"))
    model = keras.models.load_model(opened.path / "model.keras")
    preprocessing = Preprocessing(opened.path / "transform_fn")
    module = ScoringModule(preprocessing, model, [_Unsteady(spread)])
    found = export(tmp_path, model, module, image=opened.config.image, sample=pixels[:64])
    by_name = {one.name: one for one in found}
    assert by_name["latent_mean"].holds
    assert by_name["score_unsteady"].holds is (spread == 0)
    if not spread:
        saved = tf.saved_model.load(str(tmp_path / "scoring"))
        assert np.all(saved.signatures["score"](tf.constant(pixels[:3]))["score_unsteady"] == 1)
