"""A training that is interrupted and resumed ends like one that was not interrupted."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ae_models.config.configuration import TrainingConfig
from ae_models.config.model import model_config_from_mapping
from ae_models.errors import InputError
from ae_models.models.base import ImageModel
from ae_models.models.registry import build_model
from ae_models.training import fit as fitting
from ae_models.training.checkpoint import Checkpoint, Standing
from ae_models.training.fit import TrainingSummary, fit, initialise
from ae_models.training.image_store import ImageStore
from tests.support.checkpoints import best_weights

SHAPE = (6, 5, 1)
# For each kind, something that is drawn at random during training.
KINDS: dict[str, dict[str, Any]] = {
    "ae": {},
    "dae": {"corruption": "masking+gaussian_noise:0.1"},
    "vae": {"kl_warmup_epochs": 1},
}


class _CutOffError(Exception):
    pass


def _scaled(pixels: Any) -> tf.Tensor:
    return tf.cast(pixels, tf.float32) / 255.0


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageStore, ImageStore]:
    folder = tmp_path_factory.mktemp("stores")
    pixels = np.random.default_rng(3).integers(0, 256, (52, *SHAPE), np.uint8)
    found = []
    for name, part in (("train", pixels[:40]), ("validation", pixels[40:])):
        np.save(folder / f"{name}.npy", part)
        found.append(ImageStore(folder / f"{name}.npy"))
    return found[0], found[1]


def _config(**more: Any) -> TrainingConfig:
    values = {"epochs": 3, "batch_size": 16, "learning_rate": 0.01, "augment": "flip+shift:0.2"}
    return TrainingConfig(**{**values, **more})


def _trained(
    kind: str,
    stores: tuple[ImageStore, ImageStore],
    config: TrainingConfig,
    checkpoint: Path | None = None,
    on_progress: Callable[..., None] | None = None,
) -> tuple[ImageModel, TrainingSummary]:
    values = {"kind": kind, "network": "dense", "widths": [8], "latent_dim": 3, **KINDS[kind]}
    model = build_model(model_config_from_mapping(values), SHAPE, seed=1)
    if checkpoint is None or not checkpoint.exists():
        initialise(model, _scaled, stores[0], config)  # type: ignore[arg-type]
    summary = fit(
        model,
        _scaled,  # type: ignore[arg-type]
        *stores,
        config=config,
        checkpoint=checkpoint,
        on_progress=on_progress,
    )
    return model, summary


def _cut_at(step: int) -> Callable[..., None]:
    """Ends the training with an error after this many steps."""
    steps = itertools.count(1)

    def on_progress(epoch: int, done: int, total: int, losses: dict[str, float]) -> None:
        del epoch, total
        if done and "val_loss" not in losses and next(steps) == step:
            raise _CutOffError

    return on_progress


def _same(one: ImageModel, other: ImageModel) -> bool:
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_cut_off_within_an_epoch_ends_as_if_it_had_not_been(
    tmp_path: Path,
    stores: tuple[ImageStore, ImageStore],
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, undisturbed = _trained(kind, stores, _config())
    monkeypatch.setattr(fitting, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    file = tmp_path / "checkpoint.npz"
    for step in (2, 4):  # the second counts from the first interruption
        with pytest.raises(_CutOffError):
            _trained(kind, stores, _config(), file, _cut_at(step))
    assert Checkpoint(file).standing().step == 1, "of the second epoch"
    cut, summary = _trained(kind, stores, _config(), file)
    assert _same(cut, whole)
    assert summary.curves == undisturbed.curves
    assert (summary.epochs, summary.best_epoch) == (undisturbed.epochs, undisturbed.best_epoch)


def test_mixed_precision_goes_on_too(tmp_path: Path, stores: tuple[ImageStore, ImageStore]) -> None:
    config = _config(precision="mixed_float16", epochs=2)
    whole, _ = _trained("ae", stores, config)
    file = tmp_path / "checkpoint.npz"
    with pytest.raises(_CutOffError):
        _trained("ae", stores, config, file, _cut_at(5))
    assert Checkpoint(file).standing().epoch == 1
    assert _same(_trained("ae", stores, config, file)[0], whole)


def test_one_that_has_ended_is_not_trained_again(
    tmp_path: Path, stores: tuple[ImageStore, ImageStore]
) -> None:
    file = tmp_path / "checkpoint.npz"
    whole, first = _trained("ae", stores, _config(), file)
    again, second = _trained("ae", stores, _config(), file, _cut_at(1))
    assert _same(again, whole)
    assert second == first


@pytest.mark.parametrize("seconds", [0.0, 99.0], ids=["within an epoch", "after an epoch"])
def test_fewer_epochs_end_it_at_once_with_the_best_weights_so_far(
    seconds: float,
    tmp_path: Path,
    stores: tuple[ImageStore, ImageStore],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fitting, "_SECONDS_BETWEEN_CHECKPOINTS", seconds)
    file = tmp_path / "checkpoint.npz"
    with pytest.raises(_CutOffError):
        _trained("ae", stores, _config(epochs=9), file, _cut_at(8))
    standing = Checkpoint(file).standing()
    assert (standing.epoch, standing.step > 0) == (2, seconds == 0)
    model, summary = _trained("ae", stores, _config(epochs=2), file, _cut_at(1))
    assert summary.epochs == 2
    best = best_weights(file)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), best, strict=True))


@pytest.mark.parametrize("size", [0, 100, -1])
def test_a_damaged_file_is_told_of(
    tmp_path: Path, stores: tuple[ImageStore, ImageStore], size: int
) -> None:
    file = tmp_path / "checkpoint.npz"
    _trained("ae", stores, _config(epochs=1), file)
    data = file.read_bytes()
    file.write_bytes(data[:size])
    with pytest.raises(InputError, match="cannot resume training from"):
        _trained("ae", stores, _config(epochs=2), file)


def test_another_models_file_is_refused(
    tmp_path: Path, stores: tuple[ImageStore, ImageStore]
) -> None:
    file = tmp_path / "checkpoint.npz"
    _trained("ae", stores, _config(epochs=1), file)
    with pytest.raises(InputError, match="belongs to another model"):
        _trained("vae", stores, _config(epochs=2), file)


def test_weights_from_before_training_are_kept_where_it_makes_them_worse(
    stores: tuple[ImageStore, ImageStore],
) -> None:
    model, summary = _trained("ae", stores, _config(learning_rate=10.0, epochs=2))
    assert summary.best_epoch == 0
    assert summary.loss is None
    assert summary.validation_loss == summary.curves["validation_loss"][0]
    images = _scaled(stores[1].read(0, 12))
    error = float(tf.reduce_mean(tf.square(images - model.infer(images)["reconstruction"])))
    assert error == pytest.approx(summary.validation_loss, rel=1e-5)


def test_an_epoch_is_kept_once_at_its_end(
    tmp_path: Path, stores: tuple[ImageStore, ImageStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If an epoch had nothing left to train, there would be no batch to resume with."""
    monkeypatch.setattr(fitting, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    saved: list[tuple[int, int]] = []
    save = Checkpoint.save

    def noted(self: Checkpoint, model: ImageModel, standing: Standing, best: Any) -> None:
        saved.append((standing.epoch, standing.step))
        save(self, model, standing, best)

    monkeypatch.setattr(Checkpoint, "save", noted)
    _trained("ae", stores, _config(epochs=2), tmp_path / "checkpoint.npz")
    assert saved == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]


def _spoiled_in(epoch: int, model: ImageModel) -> Callable[..., None]:
    """Turns a model's weights into NaN in an epoch."""

    def on_progress(now: int, done: int, total: int, losses: dict[str, float]) -> None:
        del done, total, losses
        if now == epoch:
            for weight in model.trainable_weights:
                weight.assign(np.full(weight.shape, np.nan))

    return on_progress


@pytest.mark.parametrize(("kind", "epoch"), [("ae", 1), ("vae", 1), ("vae", 2)])
def test_of_a_training_that_comes_to_no_number_the_best_epoch_is_kept(
    kind: str,
    epoch: int,
    stores: tuple[ImageStore, ImageStore],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The VAE's first epoch is its warm-up."""
    values = {"kind": kind, "network": "dense", "widths": [8], "latent_dim": 3, **KINDS[kind]}
    model = build_model(model_config_from_mapping(values), SHAPE, seed=1)
    config = _config(epochs=9, learning_rate=1e-3)
    summary = fit(
        model,
        _scaled,  # type: ignore[arg-type]
        *stores,
        config=config,
        on_progress=_spoiled_in(epoch, model),
    )
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert summary.epochs == epoch + 1
    assert summary.best_epoch <= epoch
    assert np.isfinite(summary.validation_loss)
    assert summary.curves["validation_loss"][-1] is None
    json.dumps(summary.curves, allow_nan=False)
    assert capsys.readouterr().out == ""
