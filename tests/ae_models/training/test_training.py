"""Options of training with Keras: schedule, binarisation, the data and epochs a model receives."""

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from ae_models.config.configuration import TrainingConfig
from ae_models.config.model import model_config_from_mapping
from ae_models.errors import ConfigError
from ae_models.models.base import ImageModel
from ae_models.models.registry import build_model
from ae_models.training.fit import fit, initialise
from ae_models.training.image_store import ImageStore
from ae_models.training.replicas import working_copy

SHAPE = (4, 3, 1)


def _scaled(pixels: Any) -> tf.Tensor:
    return tf.cast(pixels, tf.float32) / 255.0


def _store(path: Path, pixels: np.ndarray) -> ImageStore:
    np.save(path, pixels)
    return ImageStore(path)


def _stores(folder: Path, train: int = 40, validation: int = 12) -> tuple[ImageStore, ImageStore]:
    pixels = np.random.default_rng(7).integers(0, 256, (train + validation, *SHAPE), np.uint8)
    return (
        _store(folder / "train.npy", pixels[:train]),
        _store(folder / "validation.npy", pixels[train:]),
    )


def _model(kind: str = "vae", **more: Any) -> ImageModel:
    values = {"kind": kind, "network": "dense", "widths": [8], "latent_dim": 2, **more}
    return build_model(model_config_from_mapping(values), SHAPE, seed=1)


def _fit(model: ImageModel, stores: tuple[ImageStore, ImageStore], **more: Any) -> Any:
    on_progress = more.pop("on_progress", None)
    config = TrainingConfig(**{"epochs": 3, "batch_size": 16, **more})
    initialise(model, _scaled, stores[0])  # type: ignore[arg-type]
    return fit(model, _scaled, *stores, config=config, on_progress=on_progress)  # type: ignore[arg-type]


def _watch(model: ImageModel) -> dict[str, list[np.ndarray]]:
    """The model's input: one list of batches for training, one for validation."""
    seen: dict[str, list[np.ndarray]] = {"train": [], "validation": []}
    plain = model.training_loss

    def note(target: np.ndarray, training: np.ndarray) -> np.float32:
        seen["train" if training else "validation"].append(np.array(target))
        return np.float32(0)

    def watched(target: Any, outputs: Any, training: bool = False) -> Any:
        nothing = tf.numpy_function(note, [target, training], tf.float32)
        with tf.control_dependencies([nothing]):
            return plain(tf.identity(target), outputs, training)

    model.training_loss = watched  # type: ignore[method-assign]
    return seen


def _rates(model: ImageModel, stores: Any, **more: Any) -> list[float]:
    rates: list[float] = []
    batches: set[tuple[int, int]] = set()

    def note(epoch: int, done: int, steps: int, logs: dict[str, float]) -> None:
        if (epoch, done) not in batches:  # the end of an epoch is reported again
            batches.add((epoch, done))
            rates.append(float(model.optimizer.learning_rate))

    _fit(model, stores, on_progress=note, **more)
    return rates


def test_the_cosine_schedule_falls_from_the_rate_to_zero(tmp_path: Path) -> None:
    rates = _rates(_model("ae"), _stores(tmp_path), schedule="cosine", learning_rate=0.02, epochs=4)
    done = np.arange(1, 13) / 12  # 40 records in batches of 16: 3 steps per epoch
    np.testing.assert_allclose(rates, 0.01 * (1 + np.cos(np.pi * done)), rtol=1e-4, atol=1e-8)
    assert rates[-1] < 1e-8


def test_without_a_schedule_the_rate_stays(tmp_path: Path) -> None:
    rates = _rates(
        _model("ae"), _stores(tmp_path), schedule="constant", learning_rate=0.02, epochs=2
    )
    np.testing.assert_allclose(rates, np.full(6, 0.02), rtol=1e-6)


def test_muon_moves_matrices_alike_in_every_direction_and_biases_by_adam(tmp_path: Path) -> None:
    model = _model("ae", widths=[6], activation="tanh", linear_path=False)
    rate = 0.03
    stores = _stores(tmp_path)
    initialise(model, _scaled, stores[0])  # type: ignore[arg-type]
    before = [weight.numpy() for weight in model.trainable_variables]
    _fit(model, stores, optimizer="muon", learning_rate=rate, epochs=1, batch_size=40)  # one step
    for old, weight in zip(before, model.trainable_variables, strict=True):
        moved = weight.numpy() - old
        if moved.ndim == 2:
            # With two latents, gradients have two directions. The Newton-Schulz iteration leaves
            # both with a singular value of 0.7 to 1.2, however different they were.
            stretches = np.linalg.svd(moved, compute_uv=False)[:2]
            scale = rate * 0.2 * np.sqrt(max(moved.shape))
            assert (stretches > 0.6 * scale).all()
            assert (stretches < 1.3 * scale).all()
        else:  # Adam's first step is the rate itself, whatever the gradient
            np.testing.assert_allclose(np.abs(moved), 0.1 * rate, rtol=0.02)


def _grey(folder: Path) -> tuple[ImageStore, ImageStore]:
    """Images in which each pixel has the same grey level in all of them, from black to white."""
    levels = np.linspace(0, 255, 12).astype(np.uint8).reshape(SHAPE)
    levels[-1, -1] = 255
    return (
        _store(folder / "train.npy", np.repeat(levels[None], 320, axis=0)),
        _store(folder / "validation.npy", np.repeat(levels[None], 32, axis=0)),
    )


def test_binarised_values_are_drawn_anew_with_the_pixel_as_probability(tmp_path: Path) -> None:
    stores, model = _grey(tmp_path), _model("ae")
    seen = _watch(model)
    _fit(model, stores, binarise=True, epochs=4, batch_size=32)
    batches = seen["train"]
    assert len(batches) == 40
    assert all(set(np.unique(batch)) <= {0.0, 1.0} for batch in batches)
    for one, two in itertools.combinations(batches, 2):
        assert np.any(one != two), "the images are all alike: only the draws can differ"
    drawn = np.concatenate(batches)
    probabilities = stores[0].read(0, 1)[0] / 255
    for place in np.ndindex(SHAPE):
        ones = int(drawn[(slice(None), *place)].sum())
        assert stats.binomtest(ones, len(drawn), probabilities[place]).pvalue > 1e-4, place
    among = np.corrcoef(drawn.reshape(len(drawn), -1)[:, 1:-1].T)
    assert np.abs(among - np.eye(len(among))).max() < 0.15, "each value by itself"
    # Epochs are only comparable if validation records are the same in each.
    validation = seen["validation"]
    assert len(validation) == 5, "before the first epoch, too"
    assert all(np.array_equal(batch, validation[0]) for batch in validation)


def test_without_binarise_a_model_sees_grey_levels(tmp_path: Path) -> None:
    stores, model = _stores(tmp_path), _model("ae")
    seen = _watch(model)
    _fit(model, stores, epochs=1)
    drawn = np.concatenate(seen["train"])
    expected = np.asarray(_scaled(stores[0].read(0, 40)))
    np.testing.assert_allclose(np.sort(drawn.ravel()), np.sort(expected.ravel()), rtol=1e-6)


def test_a_seed_decides_the_weights_with_every_option(tmp_path: Path) -> None:
    stores = _stores(tmp_path)
    weights = []
    for seed in (3, 3, 4):
        model = _model(prior="vamp", prior_components=5, samples=2, kl_warmup_epochs=2)
        _fit(model, stores, seed=seed, binarise=True, schedule="cosine")
        weights.append(np.concatenate([w.numpy().ravel() for w in model.trainable_variables]))
    np.testing.assert_array_equal(weights[0], weights[1])
    assert np.any(weights[0] != weights[2])


def test_two_large_seeds_draw_differently(tmp_path: Path) -> None:
    stores, drawn = _grey(tmp_path), []
    for seed in (5, 5 + 2**63, 5 + 2**64):
        model = _model("ae")
        seen = _watch(model)
        _fit(model, stores, binarise=True, epochs=1, batch_size=320, seed=seed)
        drawn.append(seen["train"][0])
    for one, two in itertools.combinations(drawn, 2):
        assert np.any(one != two)


@pytest.mark.parametrize("kind", ["ae", "vae"])
def test_a_model_is_initialised_by_training_images_and_told_each_epoch(
    tmp_path: Path, kind: str
) -> None:
    stores, model = _stores(tmp_path), _model(kind)
    told: list[Any] = []
    model.initialise = lambda images: told.append(np.asarray(images))  # type: ignore[method-assign]
    model.begin_epoch = told.append  # type: ignore[assignment, method-assign]
    _fit(model, stores, epochs=3)
    np.testing.assert_array_equal(told[0], _scaled(stores[0].read(0, 1024)))
    assert told[1:] == [0, 1, 2]


def test_pseudo_inputs_start_as_training_images_and_learn(tmp_path: Path) -> None:
    stores, model = _stores(tmp_path), _model(prior="vamp", prior_components=50)
    expected = np.asarray(_scaled(stores[0].read(0, 40)))[np.arange(50) % 40]
    _fit(model, stores, epochs=1, learning_rate=1e-4)
    moved = np.abs(np.asarray(model.prior.pseudo_inputs) - expected)
    assert 0 < moved.max() < 1e-3, "three steps of at most the rate"


def test_the_best_epoch_is_chosen_by_the_loss_with_the_whole_divergence(tmp_path: Path) -> None:
    """A warm-up's low weights must not make the first epochs appear best."""
    stores = _stores(tmp_path)
    model = _model(kl_warmup_epochs=1000, beta=30.0)
    summary = _fit(model, stores, epochs=2, learning_rate=1e-6)
    x = _scaled(stores[1].read(0, 100))
    inferred = model.infer(x)
    bound = 30 * np.asarray(inferred["kl"]) - np.asarray(inferred["expected_log_likelihood"])
    assert summary.validation_loss == pytest.approx(bound.mean(), rel=0.05)
    assert summary.loss < summary.validation_loss


def test_patience_begins_after_the_warm_up(tmp_path: Path) -> None:
    """Losses that rise with the weight of the divergence are no reason to stop."""
    stores, best = _stores(tmp_path), []
    for warmup in (0, 6):
        model = _model(kl_warmup_epochs=warmup)
        summary = _fit(model, stores, epochs=16, patience=2, learning_rate=1e-12)  # learns nothing
        best.append(summary.best_epoch)
    assert best[0] <= 6 < best[1]


_PRECISIONS = ("mixed_bfloat16", "mixed_float16")


@pytest.mark.parametrize("precision", _PRECISIONS)
@pytest.mark.parametrize("network", ["dense", "residual"])
def test_layers_compute_in_the_precision_and_give_float32(network: str, precision: str) -> None:
    model = _model(network=network)
    before = keras.config.dtype_policy().name
    x = np.random.default_rng(0).random((5, *SHAPE), np.float32)
    expected = model.infer(x)
    with working_copy(model, TrainingConfig(precision=precision)) as copy:
        layers = [*copy.encoder.layers[:-1], *copy.decoder.layers[:-1]]
        assert {layer.compute_dtype for layer in layers} == {precision.removeprefix("mixed_")}
        outputs = copy(x)
        assert {str(part.dtype) for part in outputs} == {"<dtype: 'float32'>"}
        latent = np.asarray(copy.infer(x)["latent_mean"])
        assert np.any(latent != np.asarray(expected["latent_mean"])), "it is less precise"
        np.testing.assert_allclose(latent, expected["latent_mean"], rtol=0.1, atol=0.02)
    assert {str(weight.dtype) for weight in (*copy.weights, *model.weights)} == {"float32"}
    assert keras.config.dtype_policy().name == before


@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        ("ae", "mixed_float16"),
        pytest.param("vae", "mixed_bfloat16", marks=pytest.mark.slow),
    ],
)
def test_a_mixed_precision_learns_what_float32_learns(
    tmp_path: Path, kind: str, precision: str
) -> None:
    stores = _stores(tmp_path)
    summaries, moved = [], []
    for chosen in ("float32", precision):
        model = _model(kind)
        initialise(model, _scaled, stores[0])  # type: ignore[arg-type]
        before = model.get_weights()
        # Loss scaling skips the first steps until half floats can represent the gradients.
        summaries.append(_fit(model, stores, precision=chosen, epochs=20))
        moved.append(
            max(np.abs(w - b).max() for w, b in zip(model.get_weights(), before, strict=True))
        )
        layers = [*model.encoder.layers, *model.decoder.layers]
        assert {layer.compute_dtype for layer in layers} == {"float32"}
    assert moved[1] > 0.3 * moved[0]
    assert summaries[1].validation_loss == pytest.approx(summaries[0].validation_loss, rel=0.1)


def test_half_floats_learn_from_gradients_that_they_cannot_hold(tmp_path: Path) -> None:
    stores = _stores(tmp_path)
    model = _model("ae", loss="1e-7*mse", activation="tanh", linear_path=False)
    before = model.decoder.get_layer("hidden_0").kernel.numpy()
    _fit(model, stores, precision="mixed_float16", epochs=1)
    assert np.abs(model.decoder.get_layer("hidden_0").kernel.numpy() - before).max() > 1e-6


@pytest.mark.parametrize("field", ["precision", "devices"])
def test_an_unknown_choice_is_one_clear_error(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"training\.{field} must be one of .*'float64'"):
        TrainingConfig(**{field: "float64"})  # type: ignore[arg-type]


_ON_TWO_DEVICES = """
import sys
import numpy as np, tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from ae_models.config.configuration import TrainingConfig
from ae_models.training.image_store import ImageStore
from ae_models.models.registry import build_model
from ae_models.config.model import model_config_from_mapping
from ae_models.training.fit import fit

def scaled(pixels):
    return tf.cast(pixels, tf.float32) / 255.0

stores = [ImageStore(f"{sys.argv[1]}/{name}.npy") for name in ("train", "validation")]
for width in (8, 5):
    values = {"kind": "ae", "network": "dense", "widths": [width], "latent_dim": 2}
    weights, losses = [], []
    for devices in ("one", "all"):
        model = build_model(model_config_from_mapping(values), stores[0].shape[1:], seed=1)
        config = TrainingConfig(epochs=2, batch_size=16, devices=devices)
        losses.append(fit(model, scaled, *stores, config=config).validation_loss)
        weights.append(np.concatenate([value.ravel() for value in model.get_weights()]))
    np.testing.assert_allclose(weights[1], weights[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
print("alike", len(tf.config.list_logical_devices("CPU")))
"""


@pytest.mark.slow
def test_two_devices_learn_what_one_learns(tmp_path: Path) -> None:
    """One of the last batches has a single record, so one device receives none."""
    _stores(tmp_path, train=33, validation=19)
    command = [sys.executable, "-c", _ON_TWO_DEVICES, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.split() == ["alike", "2"]
