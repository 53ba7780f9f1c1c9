"""One harness for every posterior, prior and likelihood: train, save, load, export, score."""

import functools
import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from ae_models.bundles.export import ScoringModule
from ae_models.config.model import VariationalConfig
from ae_models.likelihoods import LIKELIHOODS
from ae_models.models.variational import VariationalAutoencoder
from ae_models.networks import ACTIVATIONS
from ae_models.posteriors import POSTERIORS
from ae_models.priors import PRIORS
from ae_models.scores import SCORES, Score
from benchmarks.scoreboard.training import FullRange

SHAPE = (7, 5, 2)
ROWS = 24  # the fixed batch size: full tiles of each kernel that may multiply them
DEFAULTS = ("diagonal_gaussian", "standard", "bernoulli")


def _combinations() -> list[Any]:
    """All combinations; by default those that differ from the default model in one family."""
    found = itertools.product(sorted(POSTERIORS), sorted(PRIORS), sorted(LIKELIHOODS))
    return [
        names
        if sum(one != other for one, other in zip(names, DEFAULTS, strict=True)) <= 1
        else pytest.param(*names, marks=pytest.mark.slow)
        for names in found
    ]


class _Regret(Score):
    """The gain by optimising q, so that the loop is exported too."""

    name = "gain"

    def __call__(self, x: Any, outputs: Any) -> Any:
        return outputs["elbo_gain"]


class _Weights(Score):
    """The mean importance weight, in nats."""

    name = "weights"

    def __call__(self, x: Any, outputs: Any) -> Any:
        return tf.reduce_logsumexp(outputs["log_weights"], axis=0)


def _model(**more: Any) -> VariationalAutoencoder:
    values = {"network": "dense", "widths": (6,), "latent_dim": 3, "prior_components": 4}
    values |= {"noise_samples": 4, "regret_steps": 2}
    return VariationalAutoencoder(VariationalConfig(**(values | more)), SHAPE, seed=4)


def _pixels(count: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def _module(model: VariationalAutoencoder) -> ScoringModule:
    names = ("reconstruction_mse", "negative_elbo", "kl")
    scores = [*(SCORES[name]() for name in names), _Regret(), _Weights()]
    return ScoringModule(FullRange(), model, scores)


def _train(model: VariationalAutoencoder, steps: int = 2) -> None:
    x = FullRange()(_pixels(16))
    model.compile(optimizer=keras.optimizers.Adam(1e-2), jit_compile=False)
    model.optimizer.build(model.trainable_variables)  # without this, the first step is traced twice
    model.initialise(x)
    losses = [float(model.train_on_batch(x, x)) for _ in range(steps)]
    assert np.isfinite(losses).all()


def _in_batches(score: Any, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Scores each of `pixels`, padded with zeros to the fixed shape."""
    parts = []
    for start in range(0, len(pixels), ROWS):
        batch = np.zeros((ROWS, *SHAPE), np.uint8)
        part = pixels[start : start + ROWS]
        batch[: len(part)] = part
        outputs = score(pixels=tf.constant(batch))
        parts.append({name: value.numpy()[: len(part)] for name, value in outputs.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _assert_same_bits(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert np.isfinite(value).all(), name
        assert value.dtype == np.float32
        assert value.tobytes() == right[name].tobytes(), name


@pytest.mark.parametrize(("posterior", "prior", "likelihood"), _combinations())
def test_every_family_trains_is_saved_and_scores_the_same_bits(
    posterior: str, prior: str, likelihood: str, tmp_path: Path
) -> None:
    model = _model(posterior=posterior, prior=prior, likelihood=likelihood)
    before = [weight.numpy() for weight in model.trainable_variables]
    _train(model)
    for weight, old in zip(model.trainable_variables, before, strict=True):
        assert np.any(weight.numpy() != old), f"{weight.path} is not trained"

    pixels = _pixels(19)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.config == model.config
    for one, two in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(one, two, err_msg=one.path)

    module = _module(model)
    spec = tf.TensorSpec((None, *SHAPE), tf.uint8, name="pixels")
    score = tf.function(module.score).get_concrete_function(spec)
    tf.saved_model.save(module, str(tmp_path / "scoring"), signatures={"score": score})
    saved = tf.saved_model.load(str(tmp_path / "scoring")).signatures["score"]
    whole = _in_batches(saved, pixels)
    assert whole["latent_mean"].shape == whole["latent_stddev"].shape == (19, 3)
    assert np.all(whole["score_gain"] >= 0)
    order = np.random.default_rng(1).permutation(19)
    shuffled = _in_batches(saved, pixels[order])
    _assert_same_bits(shuffled, {name: value[order] for name, value in whole.items()})
    alone = [_in_batches(saved, pixels[i : i + 1]) for i in range(3)]
    for index, record in enumerate(alone):
        own = {name: value[index : index + 1] for name, value in whole.items()}
        _assert_same_bits(record, own)

    by_keras = _module(loaded).score(pixels)
    for name, value in by_keras.items():
        np.testing.assert_allclose(value, whole[name], rtol=2e-4, atol=2e-3, err_msg=name)


@pytest.mark.parametrize(
    "more",
    [
        {"likelihood": "gaussian", "scale": "shared"},
        {"likelihood": "laplace", "scale": "fixed"},
        {"likelihood": "discretised_logistic", "scale": "shared", "likelihood_bits": 16},
        {"objective": "iwae", "samples": 4, "posterior": "full_gaussian", "prior": "vamp"},
        {"kl_warmup_epochs": 3, "beta": 2.0, "free_bits": 0.5, "samples": 2},
    ],
    ids=str,
)
def test_every_option_trains_and_is_saved(more: dict[str, Any], tmp_path: Path) -> None:
    model = _model(**more)
    _train(model, steps=6)
    model.begin_epoch(0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = FullRange()(_pixels(5))
    inferred = loaded.infer(x)
    for name, value in model.infer(x).items():
        np.testing.assert_array_equal(value, inferred[name], err_msg=name)


@functools.cache
def _both_ways(network: str, activation: str, shape: tuple[int, int, int]) -> np.ndarray:
    widths = (6, 5) if network == "dense" else None
    config = VariationalConfig(network=network, activation=activation, latent_dim=3, widths=widths)
    model = VariationalAutoencoder(config, shape, seed=1)
    x = np.random.default_rng(7).normal(size=(4, *shape)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.training_loss(x, model(x, training=True)))
    weights = [weight.value for weight in model.trainable_variables]
    assert all(np.isfinite(g).all() and np.any(g != 0) for g in tape.gradient(loss, weights))
    return np.asarray(model.infer(x)["reconstruction"])


@pytest.mark.parametrize(
    ("network", "activation"),
    [
        (network, activation)
        for network in ("dense", "convolutional", "residual")
        for activation in ACTIVATIONS
        if (network, activation) != ("residual", "glu")
    ],
)
def test_every_activation_on_every_network(network: str, activation: str) -> None:
    found = _both_ways(network, activation, (9, 6, 1))
    assert found.shape == (4, 9, 6, 1)
    assert np.isfinite(found).all()
    other = _both_ways(network, "relu" if activation != "relu" else "tanh", (9, 6, 1))
    assert np.any(found != other)


@pytest.mark.slow
def test_a_large_image_to_a_hundred_latents_and_to_both_of_its_parameters() -> None:
    """The target size: 200 encoder outputs for d = 100, 2·H·W·C decoder outputs."""
    shape = (316, 316, 1)
    config = VariationalConfig(latent_dim=100, likelihood="gaussian", noise_samples=2)
    model = VariationalAutoencoder(config, shape, seed=1)
    x = np.random.default_rng(7).random((2, *shape), dtype=np.float32)
    outputs = model(x, training=True)
    assert outputs.posterior.shape == (2, 200)
    assert outputs.likelihood.shape == (1, 2, 316, 316, 2)
    model.compile(optimizer="adam", jit_compile=False)
    assert np.isfinite(float(model.train_on_batch(x, x)))
    inferred = model.infer(x)
    assert inferred["latent_mean"].shape == inferred["latent_stddev"].shape == (2, 100)
    assert inferred["reconstruction"].shape == (2, *shape)
    assert np.isfinite(inferred["expected_log_likelihood"]).all()
