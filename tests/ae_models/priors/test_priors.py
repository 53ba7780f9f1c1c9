"""Priors: densities, draws and divergences of the standard normal and of the mixture."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from ae_models.config.model import VariationalConfig
from ae_models.models.variational import VariationalAutoencoder
from ae_models.posteriors import POSTERIORS
from ae_models.priors import PRIORS
from ae_models.priors.standard import StandardPrior
from ae_models.priors.vamp import VampPrior

SHAPE = (5, 3, 2)  # (H, W, C)
D = 2
DRAWS = 40_000
every_posterior = pytest.mark.parametrize("posterior", sorted(POSTERIORS))


def _model(posterior: str = "diagonal_gaussian", components: int = 4) -> VariationalAutoencoder:
    config = VariationalConfig(
        network="dense",
        widths=(8,),
        latent_dim=D,
        posterior=posterior,
        prior="vamp",
        prior_components=components,
    )
    model = VariationalAutoencoder(config, SHAPE, seed=3)
    model.initialise(_images(components))
    return model


def _images(count: int) -> np.ndarray:
    images = np.random.default_rng(7).random((count, *SHAPE), dtype=np.float32)
    return images * np.linspace(1, 9, count, dtype=np.float32)[:, None, None, None]


def _components(model: VariationalAutoencoder, posterior: str) -> list[Any]:
    """Each component as SciPy distributions, from the encoder's raw outputs."""
    raw = np.asarray(model.encoder(model.prior.pseudo_inputs), np.float64)
    scale = 1e-4 + np.logaddexp(0, raw[:, D : 2 * D])
    if posterior == "laplace":
        return [stats.laplace(m, s) for m, s in zip(raw[:, :D], scale, strict=True)]
    below = raw[:, 2 * D] if posterior == "full_gaussian" else np.zeros(len(raw))
    factors = [np.array([[s[0], 0], [b, s[1]]]) for s, b in zip(scale, below, strict=True)]
    return [stats.multivariate_normal(m, f @ f.T) for m, f in zip(raw[:, :D], factors, strict=True)]


def _mixture_log_prob(model: VariationalAutoencoder, posterior: str, z: np.ndarray) -> np.ndarray:
    terms = [component.logpdf(z) for component in _components(model, posterior)]
    if posterior == "laplace":
        terms = [term.sum(axis=-1) for term in terms]
    return special.logsumexp(terms, axis=0) - np.log(len(terms))


def _prior(name: str, model: VariationalAutoencoder) -> Any:
    return PRIORS[name](D, 4, SHAPE, model.encode)


@pytest.mark.parametrize("name", sorted(PRIORS))
def test_log_prob_takes_any_leading_axes(name: str, generator: np.random.Generator) -> None:
    prior = _prior(name, _model())
    z = generator.normal(size=(3, 5, D)).astype(np.float32)
    value = np.asarray(prior.log_prob(z))
    assert value.shape == (3, 5)
    np.testing.assert_allclose(prior.log_prob(z[1]), value[1], rtol=1e-5)
    np.testing.assert_allclose(np.asarray(prior.log_prob(z[1, 2])), value[1, 2], rtol=1e-5)


@pytest.mark.parametrize("name", sorted(PRIORS))
def test_draws_follow_their_seed(name: str) -> None:
    prior = _prior(name, _model())
    first = np.asarray(prior.sample(7, keras.random.SeedGenerator(1)))
    assert first.shape == (7, D)
    np.testing.assert_array_equal(first, prior.sample(7, keras.random.SeedGenerator(1)))
    assert np.all(first != np.asarray(prior.sample(7, keras.random.SeedGenerator(2))))


def test_the_standard_prior_is_scipys(generator: np.random.Generator) -> None:
    model = _model()
    prior = StandardPrior(D, 4, SHAPE, model.encode)
    z = generator.normal(scale=3, size=(20, D)).astype(np.float32)
    np.testing.assert_allclose(prior.log_prob(z), stats.norm.logpdf(z).sum(axis=1), rtol=1e-5)
    drawn = np.asarray(prior.sample(DRAWS, keras.random.SeedGenerator(1)))
    assert all(stats.kstest(column, "norm").pvalue > 1e-3 for column in drawn.T)
    posterior = model.encode(_images(3))
    np.testing.assert_array_equal(prior.kl_from(posterior), posterior.kl_to_standard())


@every_posterior
def test_the_vamp_prior_is_the_mixture_of_posteriors(
    posterior: str, generator: np.random.Generator
) -> None:
    model = _model(posterior)
    z = generator.normal(scale=3, size=(4, 20, D)).astype(np.float32)
    expected = _mixture_log_prob(model, posterior, z.astype(np.float64))
    np.testing.assert_allclose(model.prior.log_prob(z), expected, rtol=1e-4, atol=1e-4)
    graph = tf.function(model.prior.log_prob, input_signature=[tf.TensorSpec((None, None, D))])
    np.testing.assert_allclose(graph(z), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("components", "given"), [(4, 9), (4, 4), (7, 3), (5, 1)])
def test_pseudo_inputs_start_as_training_images(components: int, given: int) -> None:
    model, images = _model(components=components), _images(given)
    model.initialise(tf.constant(images))
    expected = images[np.arange(components) % given]
    np.testing.assert_array_equal(model.prior.pseudo_inputs, expected)


@every_posterior
def test_draws_of_the_vamp_prior_follow_the_mixture(posterior: str) -> None:
    model = _model(posterior)
    drawn = np.asarray(model.prior.sample(DRAWS, keras.random.SeedGenerator(1)), np.float64)
    components = _components(model, posterior)
    chosen = np.random.default_rng(2).integers(len(components), size=DRAWS)
    generator = np.random.default_rng(3)
    size = (DRAWS, D) if posterior == "laplace" else DRAWS
    oracle = np.stack([c.rvs(size, random_state=generator) for c in components])
    oracle = oracle[chosen, np.arange(DRAWS)]
    # Along any direction, so that correlations count too.
    for direction in ([1, 0], [0, 1], [1, 1], [1, -1]):
        assert stats.ks_2samp(drawn @ direction, oracle @ direction).pvalue > 1e-3
    assert len(np.unique(drawn, axis=0)) == DRAWS


@every_posterior
@pytest.mark.parametrize("name", sorted(PRIORS))
def test_moments_are_those_of_the_draws(name: str, posterior: str) -> None:
    prior = _prior(name, _model(posterior))
    if name == "vamp":
        prior.initialise(_images(4))
    drawn = np.asarray(prior.sample(DRAWS, keras.random.SeedGenerator(1)), np.float64)
    mean, stddev = (np.asarray(value) for value in prior.moments())
    assert mean.shape == stddev.shape == (D,)
    np.testing.assert_array_less(np.abs(drawn.mean(axis=0) - mean), 4 * stddev / np.sqrt(DRAWS))
    np.testing.assert_allclose(stddev, drawn.std(axis=0), rtol=0.02)


@every_posterior
def test_gradients_reach_pseudo_inputs_and_encoder(posterior: str) -> None:
    model = _model(posterior)
    assert any(v is model.prior.pseudo_inputs for v in model.trainable_variables)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(model.prior.log_prob(np.ones((3, D), np.float32)))
    watched = [model.prior.pseudo_inputs.value, model.encoder.trainable_variables[0].value]
    for gradient in tape.gradient(value, watched):
        assert np.isfinite(gradient).all()
        assert np.any(np.asarray(gradient) != 0)
    before = np.asarray(model.prior.pseudo_inputs)
    model.compile(optimizer=keras.optimizers.Adam(1e-2), jit_compile=False)
    model.train_on_batch(_images(8), _images(8))
    moved = np.asarray(model.prior.pseudo_inputs) != before
    assert moved.reshape(len(moved), -1).any(axis=1).all(), "every component"


def test_without_a_closed_form_the_kl_is_the_mean_over_the_noise_table() -> None:
    model, x = _model(), _images(5)
    posterior = model.encode(x)
    assert isinstance(model.prior, VampPrior)
    assert model.prior.kl_from(posterior) is None
    inferred = model.infer(x)
    mean, stddev = (np.asarray(v, np.float64) for v in (posterior.mean, posterior.stddev))
    z = mean + stddev * np.asarray(model.noise_table, np.float64)[:, None]
    ratios = stats.norm(mean, stddev).logpdf(z).sum(axis=-1) - _mixture_log_prob(
        model, "diagonal_gaussian", z
    )
    np.testing.assert_allclose(inferred["kl"], ratios.mean(axis=0), rtol=1e-4, atol=1e-4)


def test_a_mixture_of_the_record_itself_has_no_divergence() -> None:
    model, x = _model(components=1), _images(1)
    model.initialise(x)
    np.testing.assert_allclose(model.infer(x)["kl"], 0, atol=1e-5)
