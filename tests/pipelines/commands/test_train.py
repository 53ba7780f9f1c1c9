"""Training: what is trained on, what is not, and that a seed determines the rest."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_digits

from ae_models.bundles.bundle import open_bundle
from ae_models.bundles.scorer import Scorer
from ae_models.config.configuration import (
    configuration_to_mapping,
)
from ae_models.errors import BundleError, ConfigError, InputError, OutputError, StageError
from ae_models.scores import Score
from ae_models.scores.reconstruction import ReconstructionMAE
from ae_models.training.preprocessing import Preprocessing
from pipelines.commands.train import train, train_configuration
from pipelines.training.model import Trainer
from tests.support.command import run_command
from tests.support.digits import digit_pixels, digit_splits

Bundles = Callable[[str], Path]
_SMALL = ("model.widths=[8]", "model.latent_dim=3")


def _weights(path: Path) -> list[np.ndarray]:
    return keras.models.load_model(path / "model.keras").get_weights()


def _trained(folder: Path, kind: str, seed: int) -> list[np.ndarray]:
    settings = [*_SMALL, "scoring.scores=[reconstruction_mse]"]
    config = train_configuration(kind, overrides=settings, flags={"epochs": 1, "seed": seed})
    train(["builtin:digits"], config, str(folder), where=["label=1,2"])
    return _weights(folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ae", "dae", "vae"])
def test_a_seed_decides_the_weights(tmp_path: Path, kind: str) -> None:
    one, two = (_trained(tmp_path / name, kind, seed=7) for name in ("a", "b"))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.slow
def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    one, two = (_trained(tmp_path / str(seed), "ae", seed) for seed in (7, 8))
    assert not all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_calibration_records_are_the_held_out_ones_scored(bundle: Bundles) -> None:
    opened = open_bundle(bundle("ae"))
    pixels, split = digit_pixels(), digit_splits(load_digits().target != 0)
    held_out = np.flatnonzero(split == "calibration")
    table = pq.read_table(opened.path / "calibration.parquet")
    assert set(table["id"].to_pylist()) == {f"digits/{index}" for index in held_out}
    assert opened.manifest["training"]["records"] == {
        name: int(np.sum(split == name)) for name in ("train", "validation")
    }
    order = [int(name.removeprefix("digits/")) for name in table["id"].to_pylist()]
    expected = Scorer(opened.path, opened.config).score(pixels[order])["score"]
    assert np.array_equal(table["score"].to_numpy(), expected)


def test_the_manifest_tells_configuration_and_versions(bundle: Bundles) -> None:
    manifest = open_bundle(bundle("dae")).manifest
    assert manifest["config"]["model"]["kind"] == "dae"
    assert manifest["config"]["image"]["height"] == 8
    assert manifest["versions"]["apache-beam"].startswith("2.77")
    assert manifest["training"]["where"] == ["label!=0"]
    assert configuration_to_mapping(open_bundle(bundle("dae")).config) == manifest["config"]


@pytest.mark.slow
def test_early_stopping_keeps_the_best_weights(tmp_path: Path) -> None:
    # A learning rate with which the loss soon rises.
    settings = [*_SMALL, "training.learning_rate=0.3", "training.patience=2"]
    config = train_configuration("ae", overrides=settings, flags={"epochs": 40})
    manifest = train(["builtin:digits"], config, str(tmp_path / "m"), where=["label=1"])
    training = manifest["training"]
    assert training["epochs"] == training["best_epoch"] + 2 < 40
    pixels, split = digit_pixels(), digit_splits(load_digits().target == 1)
    x = Preprocessing(tmp_path / "m" / "transform_fn")(pixels[split == "validation"])
    model = keras.models.load_model(tmp_path / "m" / "model.keras")
    error = float(np.mean((x.numpy() - model.infer(x)["reconstruction"].numpy()) ** 2))
    assert error == pytest.approx(training["validation_loss"], rel=1e-4)


def test_too_few_records_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "few.npz", x=np.zeros((20, 8, 8), np.uint8))
    config = train_configuration("ae")
    with pytest.raises(InputError, match=r"too few records to train on: 20\. At least 24 are"):
        train([str(tmp_path / "few.npz")], config, str(tmp_path / "m"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.npz"]


def test_what_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="already exists"):
        train(["builtin:digits"], train_configuration("ae"), str(tmp_path), overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.slow
def test_16_bit_colour_images_of_odd_size_train_and_score(
    tmp_path: Path, generator: np.random.Generator
) -> None:
    images = generator.integers(0, 4096, (160, 7, 5, 3), dtype=np.uint16)
    np.savez(tmp_path / "deep.npz", x=images)
    config = train_configuration("vae", overrides=_SMALL, flags={"epochs": 1})
    manifest = train([str(tmp_path / "deep.npz")], config, str(tmp_path / "m"))
    assert manifest["config"]["image"]["bits"] == 16
    opened = open_bundle(tmp_path / "m")
    assert np.isfinite(Scorer(opened.path, opened.config).score(images)["score"]).all()


@pytest.mark.slow
def test_a_bundle_trained_in_mixed_precision_is_float32(tmp_path: Path) -> None:
    overrides = [*_SMALL, "model.network=dense", "training.precision=mixed_bfloat16"]
    config = train_configuration("vae", overrides=overrides, flags={"epochs": 1})
    train(["builtin:digits"], config, str(tmp_path / "bundle"), where=["label=1,2"])
    model = keras.models.load_model(tmp_path / "bundle" / "model.keras")
    layers = [*model.encoder.layers, *model.decoder.layers]
    assert {(layer.compute_dtype, layer.variable_dtype) for layer in layers} == {("float32",) * 2}
    graph = tf.saved_model.load(str(tmp_path / "bundle" / "scoring")).signatures["score"].graph
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    types = {value.type for node in nodes for value in node.attr.values()}
    assert tf.float32.as_datatype_enum in types
    assert types.isdisjoint({tf.bfloat16.as_datatype_enum, tf.float16.as_datatype_enum})


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["elu", "silu"])
def test_an_activation_that_a_graph_rounds_otherwise_is_exported(
    tmp_path: Path, activation: str
) -> None:
    """Distances to neighbours, among default scores, must not amplify the last bit."""
    overrides = ["model.network=dense", f"model.activation={activation}"]
    config = train_configuration("ae", overrides=overrides, flags={"epochs": 1})
    manifest = train(["builtin:digits"], config, str(tmp_path / "bundle"))
    assert manifest["training"]["epochs"] == 1


def test_a_score_that_the_images_do_not_allow_is_refused_before_training(tmp_path: Path) -> None:
    pairs = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 2), np.uint8)
    np.savez(tmp_path / "pairs.npz", x_train=pairs)
    overrides = [
        *("model.network=dense", "model.likelihood=discretised_logistic"),
        *("preprocessing.scaling=full_range", "scoring.scores=[complexity_adjusted]"),
    ]
    config = train_configuration("vae", overrides=overrides)
    with pytest.raises(ConfigError, match=r"complexity_adjusted needs 1, 3 or 4 channels"):
        train([f"{tmp_path}/pairs.npz#train"], config, str(tmp_path / "bundle"))
    assert not (tmp_path / "bundle").exists()


_TINY = ("model.network=dense", "model.latent_dim=2", "model.widths=[8]")


def test_a_graph_that_no_bundle_may_have_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ae_models.bundles.export.MOST_GRAPH_BYTES", 1000)
    monkeypatch.setattr(Trainer, "fit", lambda _: pytest.fail("it was trained"))
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).integers(0, 256, (40, 6, 6), np.uint8))
    config = train_configuration("ae", overrides=_TINY)
    with pytest.raises(BundleError, match=r"more than the limit of 1,000: set a small"):
        train([str(tmp_path / "x.npz")], config, str(tmp_path / "m"))
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


@pytest.fixture
def unsteady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A score that differs at each call."""

    def drawn(_: Score, x: tf.Tensor, outputs: object) -> tf.Tensor:
        del outputs
        return 1.0 + tf.random.uniform([tf.shape(x)[0]], -1e-3, 1e-3)

    monkeypatch.setattr(ReconstructionMAE, "__call__", drawn)
    monkeypatch.setattr(ReconstructionMAE, "resolution", 0.0)


_SCORES = "scoring.scores=[reconstruction_mse, reconstruction_mae]"


@pytest.mark.usefixtures("unsteady")
def test_a_score_that_differs_from_keras_is_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = train_configuration("ae", overrides=[*_TINY, _SCORES], flags={"epochs": 1})
    manifest = train(["builtin:digits"], config, str(tmp_path / "m"), where=["label=1,2"])
    opened = open_bundle(tmp_path / "m")
    assert opened.config.scoring.scores == ("reconstruction_mse",)
    assert "score_reconstruction_mae" not in Scorer(opened.path, opened.config).score(
        digit_pixels()[:3]
    )
    told = manifest["training"]["advice"]
    assert any("reconstruction_mae differs between Keras and the SavedModel" in t for t in told)
    errors, card = capsys.readouterr().err, (tmp_path / "m" / "model_card.md").read_text()
    for line in told:
        assert f"warning: {line}\n" in errors
        assert line in card
    again = train(["builtin:digits"], config, str(tmp_path / "m"), where=["label=1,2"], resume=True)
    assert again == manifest, "it is finished, but for what was left out"
    others = "scoring.scores=[reconstruction_mse, reconstruction_max]"
    config = train_configuration("ae", overrides=[*_TINY, others], flags={"epochs": 1})
    with pytest.raises(OutputError, match="already exists"):
        train(["builtin:digits"], config, str(tmp_path / "m"), where=["label=1,2"], resume=True)


@pytest.mark.usefixtures("unsteady")
def test_what_was_trained_outlasts_a_primary_score_that_fails(tmp_path: Path) -> None:
    def given(primary: str, resume: bool) -> dict:
        overrides = [*_TINY, _SCORES, f"scoring.primary={primary}"]
        config = train_configuration("ae", overrides=overrides, flags={"epochs": 1})
        return train(
            ["builtin:digits"], config, str(tmp_path / "m"), where=["label=1,2"], resume=resume
        )

    with pytest.raises(StageError, match=r"score_reconstruction_mae differs.*--primary") as caught:
        given("reconstruction_mae", False)
    assert caught.value.exit_status == 1
    unfinished = tmp_path / "m-unfinished"
    assert f"{unfinished} keeps 1 epoch of training: rerun the command with --resume" in str(
        caught.value
    )
    assert [path.name for path in tmp_path.iterdir()] == ["m-unfinished"]
    trained = _weights(unfinished / "bundle")
    manifest = given("reconstruction_mse", True)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert manifest["config"]["scoring"]["primary"] == "reconstruction_mse"
    assert all(map(np.array_equal, trained, _weights(tmp_path / "m")))


@pytest.mark.usefixtures("unsteady")
@pytest.mark.parametrize("primary", ["null", "auto"])
def test_a_primary_score_that_nobody_chose_may_fail(tmp_path: Path, primary: str) -> None:
    scores = "scoring.scores=[reconstruction_mae, reconstruction_mse]"
    overrides = [*_TINY, scores, f"scoring.primary={primary}"]
    config = train_configuration("ae", overrides=overrides, flags={"epochs": 1})
    manifest = train(["builtin:digits"], config, str(tmp_path / "m"), where=["label=1,2"])
    assert manifest["config"]["scoring"]["primary"] == "reconstruction_mse"


@pytest.mark.usefixtures("unsteady")
def test_what_was_trained_outlasts_scores_that_all_fail(tmp_path: Path) -> None:
    def given(score: str, resume: bool) -> dict:
        overrides = [*_TINY, f"scoring.scores=[{score}]"]
        config = train_configuration("ae", overrides=overrides, flags={"epochs": 1})
        return train(
            ["builtin:digits"], config, str(tmp_path / "m"), where=["label=1,2"], resume=resume
        )

    with pytest.raises(StageError, match=r"no score remains: set others in scoring.scores; "):
        given("reconstruction_mae", False)
    manifest = given("reconstruction_mse", True)
    assert manifest["config"]["scoring"]["scores"] == ["reconstruction_mse"]


def test_a_bundle_outlasts_a_place_that_was_taken_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = Trainer.fit

    def taken(self: Trainer, log: None = None) -> dict:
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "thesis.txt").write_text("mine")
        return fit(self, log)

    monkeypatch.setattr(Trainer, "fit", taken)
    config = train_configuration("ae", overrides=[*_TINY, _SCORES], flags={"epochs": 1})
    with pytest.raises(OutputError, match=r"already exists: .*the bundle is kept in") as caught:
        train(["builtin:digits"], config, str(tmp_path / "m"), where=["label=1,2"])
    kept = str(caught.value).rpartition("kept in ")[2]
    assert open_bundle(kept).manifest["training"]["epochs"] == 1
    assert (tmp_path / "m" / "thesis.txt").read_text() == "mine"


def test_alike_images_are_trained_on_and_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "black.npz", x=np.zeros((60, 8, 8), np.uint8))
    config = train_configuration("ae", overrides=_TINY, flags={"epochs": 1})
    manifest = train([str(tmp_path / "black.npz")], config, str(tmp_path / "m"))
    assert manifest["training"]["records"] == {"train": 44, "validation": 8}
    flags, copies, unstopped, alike = manifest["training"]["advice"]
    assert "8 calibration records give no p-value below 0.11" in flags
    assert copies.startswith("8 of 8 calibration records are near-copies")
    assert unstopped.startswith("8 of 8 validation records are near-copies")
    assert alike.startswith("these scores do not distinguish the records")
    assert "score_reconstruction_smoothed" in alike
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert warnings == [f"warning: {line}" for line in manifest["training"]["advice"]]
    scores = Scorer(tmp_path / "m", open_bundle(tmp_path / "m").config).score(
        np.zeros((5, 8, 8, 1), np.uint8)
    )
    assert np.isfinite(scores["score"]).all()


def test_sizes_and_kinds_are_told_before_training(
    tmp_path: Path, generator: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    for number in range(60):
        path = images / ("grey" if number < 15 else "colour") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (90, 160) if number < 15 else (90, 160, 3)
        Image.fromarray(generator.integers(0, 256, shape, np.uint8)).save(path)
    settings = [*_TINY, "scoring.scores=[reconstruction_mse]", "features.backbone=none"]
    config = train_configuration("ae", overrides=settings, flags={"epochs": 1})
    manifest = train([str(images)], config, str(tmp_path / "m"))
    lines = capsys.readouterr().err.splitlines()
    mixed = (
        "of 60 images examined, 45 have 3 channels, 15 have 1: those with 1 channel will be "
        "rejected (wrong_channels); --set image.convert=true converts them"
    )
    assert lines[:3] == [
        "images: 60 of 60 examined: all 90 x 160 (height x width), 1 or 3 channels, 8 bits",
        "training on 48 x 84, 3 channels, 8 bits; --size HxW changes this",
        f"warning: {mixed}",
    ]
    assert manifest["training"]["advice"][0] == mixed
    assert mixed in " ".join((tmp_path / "m" / "model_card.md").read_text().split())
    assert manifest["training"]["rejected_by_reason"] == {"wrong_channels": 15}
    image = manifest["config"]["image"]
    assert [image[key] for key in ("height", "width", "channels", "bits")] == [48, 84, 3, 8]


@pytest.mark.parametrize(("size", "told"), [("12", "12 x 12"), ("16x12", "16 x 12")])
def test_a_size_goes_before_the_configuration(
    size: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There are too few records to continue."""
    np.savez(tmp_path / "few.npz", x=np.zeros((3, 8, 8), np.uint8))
    arguments = ["train", "--input", str(tmp_path / "few.npz"), "--model", "ae", "--size", size]
    arguments += ["--output", str(tmp_path / "m"), "--set", "image.height=9", "image.width=9"]
    status, _, err = run_command(arguments, capsys)
    assert status == 2
    assert f"training on {told}, 1 channel, 8 bits\n" in err


@pytest.mark.parametrize("size", ["0", "64x", "x", "64x0", "-3", "6 4", "64x64x3", "1e2", ""])
def test_what_is_no_size_is_refused(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "--input", "a", "--model", "ae", "--output", "m", f"--size={size}"]
    status, _, err = run_command(arguments, capsys)
    assert status == 2
    assert err.count("\n") == 1
    assert (
        f"must be a side in pixels, 64, or a height and a width, 64x96. Received: {size!r}" in err
    )


def test_digits_are_trained_on_without_a_warning(bundle: Bundles) -> None:
    assert open_bundle(bundle("ae")).manifest["training"]["advice"] == []
