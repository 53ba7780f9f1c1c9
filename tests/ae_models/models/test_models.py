"""One harness for every kind of model with every network, at sizes that do not halve evenly."""

import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from scipy import special, stats

from ae_models.config.model import MODEL_CONFIGS, model_config_from_mapping
from ae_models.corruptions.families import CORRUPTIONS
from ae_models.models.autoencoder import Autoencoder
from ae_models.models.base import ImageModel
from ae_models.models.registry import build_model
from ae_models.models.variational import VariationalAutoencoder
from ae_models.networks import NETWORKS, stages

LATENT = 3
ODD = (7, 5, 3)
SHAPES = [ODD, (28, 28, 1), (13, 9, 1), (8, 8, 4), (1, 1, 1), (2, 33, 1)]
KINDS = sorted(MODEL_CONFIGS)
PLAIN = ("latent_mean", "reconstruction")
OF_VIEWS = ("views", "view_latents", "restorations")  # with an axis before the records'
COMBINATIONS = list(itertools.product(KINDS, sorted(NETWORKS)))
OF_EACH_SAMPLE = frozenset({"z", "log_likelihoods", "log_weights"})  # (K, N, ·)
every_model = pytest.mark.parametrize(("kind", "network"), COMBINATIONS)


def _combinations_of_shapes() -> list[Any]:
    """All kinds, networks and shapes; by default each pair of any two of them."""
    return [
        pytest.param(
            kind,
            network,
            shape,
            id=f"{kind}-{network}-{shape}",
            marks=[] if shape == ODD or (k + n + s) % 3 == 0 else [pytest.mark.slow],
        )
        for k, kind in enumerate(KINDS)
        for n, network in enumerate(sorted(NETWORKS))
        for s, shape in enumerate(SHAPES)
    ]


def _model(
    kind: str, network: str = "dense", shape: tuple[int, int, int] = ODD, seed: int = 0, **more: Any
) -> ImageModel:
    widths = [16, 8] if network == "dense" else None
    values = {"kind": kind, "network": network, "latent_dim": LATENT, "widths": widths}
    if kind == "vae":  # as few decodings as possible
        values |= {"noise_samples": 2, "regret_steps": 1}
    values |= more
    return build_model(model_config_from_mapping(values), shape, seed)


def _images(count: int, shape: tuple[int, int, int] = ODD) -> np.ndarray:
    return np.random.default_rng(7).random((count, *shape), dtype=np.float32)


def _inferred(model: ImageModel, x: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in model.infer(x).items()}


def _assert_same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)


@pytest.mark.parametrize(("kind", "network", "shape"), _combinations_of_shapes())
def test_infer_gives_a_latent_and_an_image_of_the_same_shape(
    kind: str, network: str, shape: tuple[int, int, int]
) -> None:
    outputs = _inferred(_model(kind, network, shape), _images(4, shape))
    expected = {"latent_mean": (4, LATENT), "reconstruction": (4, *shape)}
    if kind == "dae":  # from four draws of noise
        expected |= {"view_latents": (4, 4, LATENT)}
        expected |= dict.fromkeys(("views", "restorations"), (4, 4, *shape))
    if kind == "vae":
        expected |= {"latent_stddev": (4, LATENT), "kl": (4,), "expected_log_likelihood": (4,)}
        expected |= {"z": (2, 4, LATENT), "elbo_gain": (4,)}
        expected |= dict.fromkeys(("parameters", "log_likelihood_per_value"), (4, *shape))
        expected |= dict.fromkeys(("log_likelihoods", "log_weights"), (2, 4))
    assert {name: value.shape for name, value in outputs.items()} == expected
    assert all(v.dtype == np.float32 and np.isfinite(v).all() for v in outputs.values())


@every_model
def test_infer_depends_on_the_record_alone(kind: str, network: str) -> None:
    model, x = _model(kind, network), _images(6)
    whole = _inferred(model, x)
    _assert_same(_inferred(model, x), whole)
    for name, value in _inferred(model, x[[4, 1]]).items():
        records = 1 if name in (*OF_VIEWS, *OF_EACH_SAMPLE) else 0
        expected = whole[name].take([4, 1], axis=records)
        # A gain is a small difference of bounds in the hundreds.
        least = 1e-3 if name == "elbo_gain" else 1e-6
        np.testing.assert_allclose(value, expected, rtol=2e-5, atol=least, err_msg=name)


@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_a_record_knows_no_neighbours_even_in_training(network: str) -> None:
    model, x = _model("ae", network), _images(6)
    whole = np.asarray(model(x, training=True))
    alone = np.asarray(model(x[:2], training=True))
    np.testing.assert_allclose(alone, whole[:2], rtol=2e-5, atol=1e-6)


@every_model
def test_a_few_steps_lower_the_loss(kind: str, network: str) -> None:
    x = np.repeat(_images(2), 16, axis=0)
    model = _model(kind, network)
    model.compile(optimizer=keras.optimizers.Adam(3e-3), jit_compile=False)
    model.optimizer.build(model.trainable_variables)  # without this, the first step is traced twice
    before = {v.path: v.numpy() for v in model.trainable_variables}
    losses = [float(model.train_on_batch(x, x)) for _ in range(40)]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-5:]) < 0.95 * np.mean(losses[:5])
    unmoved = [
        v.path for v in model.trainable_variables if np.array_equal(v.numpy(), before[v.path])
    ]
    assert unmoved == [], "variables that training does not reach"


@every_model
def test_a_saved_model_infers_the_same(kind: str, network: str, tmp_path: Path) -> None:
    model, x = _model(kind, network, seed=5), _images(5)
    for variable in model.trainable_variables:
        variable.assign(variable + 0.01)  # not what the seed alone would restore
    model(x)  # Keras warns about a model that never saw an image
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    assert (loaded.config, loaded.image_shape, loaded.seed) == (model.config, ODD, 5)
    _assert_same(_inferred(loaded, x), _inferred(model, x))


@every_model
def test_the_seed_alone_decides_the_weights(kind: str, network: str) -> None:
    first, same, other = (_model(kind, network, seed=seed) for seed in (1, 1, 2))
    keras.utils.set_random_seed(123)  # global state must not matter
    again = _model(kind, network, seed=1)
    for index, weight in enumerate(first.get_weights()):
        np.testing.assert_array_equal(same.get_weights()[index], weight)
        np.testing.assert_array_equal(again.get_weights()[index], weight)
        if np.any(weight != weight.flat[0]):  # biases and norms start constant
            assert np.any(other.get_weights()[index] != weight)


@pytest.mark.parametrize(
    ("kind", "more"), [("ae", {}), ("dae", {}), ("dae", {"corruption": "masking"}), ("vae", {})]
)
def test_the_seed_decides_the_draws_in_training(kind: str, more: dict[str, Any]) -> None:
    x, weights = _images(8), []
    for seed in (1, 1, 2):
        model = _model(kind, seed=seed, **more)
        model.compile(optimizer=keras.optimizers.Adam(1e-2), run_eagerly=True)
        for _ in range(3):
            model.train_on_batch(x, x)
        weights.append(np.concatenate([v.numpy().ravel() for v in model.trainable_variables]))
    np.testing.assert_array_equal(weights[0], weights[1])
    assert np.any(weights[0] != weights[2])


@pytest.mark.parametrize("name", sorted(CORRUPTIONS))
def test_the_denoising_model_corrupts_in_training_only(name: str) -> None:
    model, plain = _model("dae", corruption=name), _model("ae")
    x = 2.0 * _images(6)  # some of it outside the range of `clip`
    plain.set_weights([v.numpy() for v in model.weights if "seed" not in v.path])
    still = np.asarray(model(x, training=False))
    np.testing.assert_array_equal(still, np.asarray(plain(x)))
    np.testing.assert_array_equal(still, np.asarray(model(x, training=False)))
    outputs = _inferred(model, x)
    _assert_same({n: v for n, v in outputs.items() if n in PLAIN}, _inferred(plain, x))
    assert np.any(np.asarray(model(x, training=True)) != still)


@pytest.mark.parametrize("corruption", ["rotation", "greyscale+masking:0.4+blur"])
def test_restorations_are_what_the_model_makes_of_each_view(corruption: str) -> None:
    model, x = _model("dae", "convolutional", corruption=corruption), _images(5)
    outputs = _inferred(model, x)
    views = model.corruption.views(ODD)
    assert len(views) == (2 if corruption == "rotation" else 4)
    for view, latent, image in zip(
        views, outputs["view_latents"], outputs["restorations"], strict=True
    ):
        of_view = _inferred(model, view(x))
        np.testing.assert_array_equal(latent, of_view["latent_mean"])
        np.testing.assert_array_equal(image, of_view["reconstruction"])


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_a_call_of_the_variational_model_samples(likelihood: str) -> None:
    model, x = _model("vae", likelihood=likelihood), _images(4)
    for training in (False, True):
        first, second = model(x, training=training), model(x, training=training)
        np.testing.assert_array_equal(first.posterior, second.posterior)
        assert np.any(np.asarray(first.likelihood) != np.asarray(second.likelihood))
    per_value = 1 if likelihood == "bernoulli" else 2
    assert first.posterior.shape == (4, 2 * LATENT)
    assert first.z.shape == (1, 4, LATENT)
    assert first.likelihood.shape == (1, 4, *ODD[:2], ODD[2] * per_value)


def _log_likelihood(likelihood: str, outputs: np.ndarray, x: np.ndarray) -> np.ndarray:
    """log p(x | z) by SciPy from the decoder's raw outputs, (N,)."""
    outputs = outputs.astype(np.float64)
    if likelihood == "bernoulli":
        terms = x * special.log_expit(outputs) + (1 - x) * special.log_expit(-outputs)
    else:
        mean, raw = np.split(outputs, 2, axis=-1)
        terms = stats.norm(mean, 0.01 + np.logaddexp(0, raw)).logpdf(x)
    return terms.sum(axis=(1, 2, 3))


def _posterior(model: ImageModel, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation, (N, d), and KL to N(0, I), (N,), in float64."""
    mean, raw = np.split(np.asarray(model.encoder(x), np.float64), 2, axis=-1)
    stddev = 1e-4 + np.logaddexp(0, raw)
    return mean, stddev, (stddev**2 + mean**2 - 1 - 2 * np.log(stddev)).sum(axis=1) / 2


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_bound_is_what_scipy_makes_of_decoder_and_noise_table(likelihood: str) -> None:
    model, x = _model("vae", likelihood=likelihood, noise_samples=6), _images(5)
    mean, stddev, kl = _posterior(model, x)
    noise = np.asarray(model.noise_table)
    assert noise.shape == (6, LATENT)
    np.testing.assert_array_equal(noise[3:], -noise[:3])
    decoded = [np.asarray(model.decoder((mean + stddev * e).astype(np.float32))) for e in noise]
    expected = np.mean([_log_likelihood(likelihood, d, x) for d in decoded], axis=0)
    outputs = _inferred(model, x)
    np.testing.assert_allclose(outputs["latent_mean"], mean, rtol=1e-6)
    np.testing.assert_allclose(outputs["latent_stddev"], stddev, rtol=1e-5)
    np.testing.assert_allclose(outputs["kl"], kl, rtol=1e-4)
    np.testing.assert_allclose(outputs["expected_log_likelihood"], expected, rtol=1e-4)
    at_mean = np.asarray(model.decoder(mean.astype(np.float32)))
    shown = special.expit(at_mean) if likelihood == "bernoulli" else at_mean[..., : ODD[2]]
    np.testing.assert_allclose(outputs["reconstruction"], shown, rtol=1e-5)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_the_variational_loss_is_the_weighed_negative_bound(likelihood: str, beta: float) -> None:
    model, x = _model("vae", likelihood=likelihood, beta=beta), _images(5)
    outputs = model(x, training=True)
    expected = beta * _posterior(model, x)[2] - _log_likelihood(
        likelihood, np.asarray(outputs.likelihood)[0], x
    )
    np.testing.assert_allclose(model.training_loss(x, outputs), expected, rtol=1e-4)
    np.testing.assert_allclose(model.compute_loss(x, x, outputs), expected.mean(), rtol=1e-4)


def test_images_drawn_from_the_model_follow_their_seed() -> None:
    model = _model("vae", likelihood="gaussian")
    drawn = np.asarray(model.sample(6, seed=1))
    assert drawn.shape == (6, *ODD)
    np.testing.assert_array_equal(drawn, model.sample(6, seed=1))
    assert np.any(drawn != np.asarray(model.sample(6, seed=2)))


def test_a_configuration_of_another_kind_is_refused() -> None:
    config = model_config_from_mapping({"kind": "vae"})
    with pytest.raises(TypeError, match=r"a AutoencoderConfig\. Received: Variat"):
        Autoencoder(config, ODD)
    with pytest.raises(TypeError, match="VariationalConfig"):
        VariationalAutoencoder(model_config_from_mapping({"kind": "dae"}), ODD)


@pytest.mark.parametrize("sides", [(1, 1), (8, 3), (9, 9), (28, 28), (31, 200), (316, 316)])
def test_convolutions_end_at_eight_pixels_or_fewer(sides: tuple[int, int]) -> None:
    shape = (*sides, 1)
    widths = stages.default_widths(shape)
    sizes = stages.stage_sizes(shape, len(widths))
    assert max(sizes[-1]) <= 8
    assert len(widths) == 1 or max(sizes[-2]) > 8
    assert max(widths) <= 128
