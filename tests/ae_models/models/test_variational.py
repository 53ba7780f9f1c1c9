"""Bounds and log p(x) of a linear-Gaussian model, known in closed form; objectives."""

import dataclasses
import functools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from ae_models.config.model import VariationalConfig
from ae_models.models.importance_sampling import log_marginal_likelihood
from ae_models.models.posterior_optimisation import optimised_gain
from ae_models.models.variational import VariationalAutoencoder
from ae_models.posteriors import POSTERIORS

D = 2
SHAPE = (3, 2, 1)
PIXELS = 6
SCALE = 0.6
GAUSSIANS = ("diagonal_gaussian", "full_gaussian")


class _Truth:
    """x = W·z + b + s·noise, z ~ N(0, I), in float64."""

    def __init__(self) -> None:
        generator = np.random.default_rng(11)
        # Columns far from orthogonal: the posterior of the two latents is correlated.
        common = generator.normal(size=(PIXELS, 1))
        self.weights = 0.7 * common + 0.35 * generator.normal(size=(PIXELS, D))
        self.offset = generator.normal(size=PIXELS)
        self.precision = np.eye(D) + self.weights.T @ self.weights / SCALE**2
        self.covariance = np.linalg.inv(self.precision)

    def draw(self, count: int) -> np.ndarray:
        generator = np.random.default_rng(12)
        z = generator.normal(size=(count, D))
        noise = SCALE * generator.normal(size=(count, PIXELS))
        x = z @ self.weights.T + self.offset + noise
        return x.reshape(count, *SHAPE).astype(np.float32)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        covariance = self.weights @ self.weights.T + SCALE**2 * np.eye(PIXELS)
        oracle = stats.multivariate_normal(self.offset, covariance)
        return np.atleast_1d(oracle.logpdf(x.reshape(len(x), -1).astype(np.float64)))

    @property
    def regression(self) -> np.ndarray:
        """x − b → the mean of p(z | x), (d, pixels)."""
        return self.covariance @ self.weights.T / SCALE**2

    def gap(self, posterior: str) -> float:
        """How far the family's best q is below log p(x): its KL to p(z | x), in nats."""
        if posterior == "full_gaussian":
            return 0.0
        determinant = np.linalg.slogdet(self.covariance)[1]
        return 0.5 * (np.log(np.diag(self.precision)).sum() + determinant)


TRUTH = _Truth()


def _set(network: keras.Model, before: Any, after: Any, shift: Any, offset: Any) -> None:
    """Sets the network to after·(before·input + shift) + offset: relu(h) − relu(−h) is h."""
    network.get_layer("hidden_0").set_weights(
        [np.concatenate([before, -before]).T, np.concatenate([shift, -shift])]
    )
    network.get_layer("linear").set_weights([np.concatenate([after, -after], axis=1).T, offset])


def _inverse_softplus(value: Any) -> np.ndarray:
    return np.log(np.expm1(np.asarray(value) - 1e-4))


def _best_spread(posterior: str) -> np.ndarray:
    """Raw outputs for the family's best covariance, the same for every x."""
    if posterior == "diagonal_gaussian":
        return _inverse_softplus(np.diag(TRUTH.precision) ** -0.5)
    factor = np.linalg.cholesky(TRUTH.covariance)
    return np.append(_inverse_softplus(np.diag(factor)), factor[1, 0])


def _linear(posterior: str = "full_gaussian", best: bool = True, **more: Any) -> Any:
    """The true decoder, with the family's best q(z | x), or N(0, softplus(0)²), for every x.

    The noise table has exactly mean 0 and covariance I, so that the table's means of quadratic
    forms, such as the bound, are expectations.
    """
    config = VariationalConfig(
        network="dense",
        widths=(2 * D,),
        latent_dim=D,
        posterior=posterior,
        likelihood="gaussian",
        scale="fixed",
        scale_value=SCALE,
        **{"noise_samples": 2 * D, "regret_steps": 300, **more},
    )
    model = VariationalAutoencoder(config, SHAPE, seed=5)
    _set(model.decoder, np.eye(D), TRUTH.weights, np.zeros(D), TRUTH.offset)
    outputs = POSTERIORS[posterior].outputs(D)
    spread = _best_spread(posterior) if best else np.zeros(outputs - D)
    regression = TRUTH.regression if best else np.zeros((D, PIXELS))
    after = np.eye(outputs, D)
    offset = np.concatenate([np.zeros(D), spread])
    _set(model.encoder, regression, after, -regression @ TRUTH.offset, offset)
    if config.noise_samples == 2 * D:
        model.noise_table.assign(np.sqrt(D) * np.concatenate([np.eye(D), -np.eye(D)]))
    return model


def _bound(model: Any, x: np.ndarray) -> np.ndarray:
    inferred = model.infer(x)
    return np.asarray(inferred["expected_log_likelihood"]) - np.asarray(inferred["kl"])


def _gain(model: Any, *batches: np.ndarray) -> list[np.ndarray]:
    """`elbo_gain` of each batch, in one graph, as in scoring."""
    gain = tf.function(lambda x: model.infer(x)["elbo_gain"])
    return [gain(x).numpy() for x in batches]


@pytest.mark.parametrize("posterior", GAUSSIANS)
def test_the_bound_of_the_best_posterior_misses_log_p_by_the_familys_gap(posterior: str) -> None:
    x = TRUTH.draw(40)
    gap = TRUTH.gap(posterior)
    assert (gap > 0.25) == (posterior == "diagonal_gaussian")
    bound = _bound(_linear(posterior), x)
    np.testing.assert_allclose(bound, TRUTH.log_prob(x) - gap, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("posterior", GAUSSIANS)
def test_regret_is_the_gap_to_the_optimum(posterior: str) -> None:
    """From a q that ignores x, optimisation recovers the family's best: with a full covariance all
    of log p(x), with a diagonal one all except the correlation's share."""
    x = TRUTH.draw(12)
    model = _linear(posterior, best=False)
    start, (gain,) = _bound(model, x), _gain(model, x)
    optimum = TRUTH.log_prob(x) - TRUTH.gap(posterior)
    assert np.all(optimum - start > 0.5)
    np.testing.assert_allclose(gain, optimum - start, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("posterior", GAUSSIANS)
def test_regret_of_the_best_posterior_is_zero(posterior: str) -> None:
    (gain,) = _gain(_linear(posterior, regret_steps=40), TRUTH.draw(12))
    assert np.all(gain >= 0)
    np.testing.assert_allclose(gain, 0, atol=1e-4)


@pytest.mark.parametrize("posterior", sorted(POSTERIORS))
@pytest.mark.parametrize("steps", [1, 25])
def test_regret_is_never_negative_and_knows_no_neighbours(posterior: str, steps: int) -> None:
    x = TRUTH.draw(9)
    sizes = {"widths": (6,), "latent_dim": D, "noise_samples": 4, "regret_steps": steps}
    config = VariationalConfig(network="dense", posterior=posterior, **sizes)
    model = VariationalAutoencoder(config, SHAPE, seed=1)
    others = np.concatenate([x[:1], 50 * TRUTH.draw(17)[9:]])
    gain, among_others = _gain(model, x, others)
    assert np.all(gain >= 0)
    np.testing.assert_allclose(among_others[0], gain[0], rtol=1e-4, atol=1e-5)


def test_regret_of_what_only_falls_is_zero_and_more_steps_gain_more() -> None:
    start = tf.constant([[0.0, 0.0], [3.0, -1.0]])

    def bound(at: tf.Tensor) -> tf.Tensor:
        return -tf.reduce_sum(tf.abs(at), axis=-1)

    gains = [np.asarray(optimised_gain(bound, start, steps)) for steps in (1, 5, 40)]
    for gain in gains:
        assert gain[0] == 0, "the optimum, off which every step leads"
    assert 0 < gains[0][1] < gains[1][1] < gains[2][1] <= 4
    np.testing.assert_allclose(gains[0][1], 0.2, rtol=1e-4)  # Adam's first step: the rate itself
    np.testing.assert_allclose(gains[2][1], 4, atol=0.2)


def test_log_marginal_likelihood_is_exact_with_the_true_posterior() -> None:
    """Every importance weight is then p(x) itself."""
    x = TRUTH.draw(20)
    for samples in (1, 7):
        value = log_marginal_likelihood(_linear(), x, samples, seed=1)
        assert value.dtype == np.float64
        np.testing.assert_allclose(value, TRUTH.log_prob(x), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("best", [True, False])
def test_log_marginal_likelihood_tends_to_the_closed_form(best: bool) -> None:
    x = TRUTH.draw(20)
    model = _linear("diagonal_gaussian", best=best)
    value = log_marginal_likelihood(model, x, 20_000, seed=1)
    # A diagonal q has lighter tails than p(z | x): rare weights are large.
    np.testing.assert_allclose(value, TRUTH.log_prob(x), atol=0.3)
    assert abs(np.mean(value - TRUTH.log_prob(x))) < 0.03


def test_chunks_of_records_and_of_samples_estimate_the_same() -> None:
    x = TRUTH.draw(11)
    model = _linear("diagonal_gaussian")
    estimate = functools.partial(log_marginal_likelihood, model, x, 3000, decoded_rows=2000)
    value = estimate(seed=1)  # two rounds per record, the second one truncated
    assert value.shape == (11,)
    np.testing.assert_array_equal(value, estimate(seed=1))
    assert np.all(value != estimate(seed=2))
    np.testing.assert_allclose(value, TRUTH.log_prob(x), atol=0.4)
    several = log_marginal_likelihood(model, x, 10, seed=1, decoded_rows=40)
    assert several.shape == (11,)
    assert np.all(several <= TRUTH.log_prob(x) + 3)


def _decoder_of(model: Any, posterior: str) -> Any:
    """A model with another posterior, far from its best, and the decoder of `model`."""
    config = dataclasses.replace(model.config, posterior=posterior)
    other = VariationalAutoencoder(config, SHAPE, seed=5)
    other.decoder.set_weights(model.decoder.get_weights())
    return other


def _expected_bound(model: Any, x: np.ndarray) -> float:
    """The ELBO of one record, whose likelihood term is a quadratic form."""
    q = model.encode(x)
    mean, stddev = (np.asarray(v, np.float64)[0] for v in (q.mean, q.stddev))
    factor = np.asarray(q.cholesky, np.float64)[0] if hasattr(q, "cholesky") else np.diag(stddev)
    error = x.reshape(-1) - TRUTH.offset - TRUTH.weights @ mean
    spread = np.sum((TRUTH.weights @ factor) ** 2)
    log_likelihood = stats.norm(0, SCALE).logpdf(error).sum() - spread / (2 * SCALE**2)
    return float(log_likelihood - np.sum(q.kl_to_standard()))


@pytest.mark.parametrize("posterior", sorted(POSTERIORS))
def test_more_samples_never_loosen_the_bound(posterior: str) -> None:
    """ELBO ≤ IWAE-2 ≤ … ≤ log p(x), in the mean over many draws for one record."""
    x = TRUTH.draw(1)
    model = _decoder_of(_linear(), posterior)
    weights = np.asarray(model.log_weights(x, 32_000, seed=3), np.float64)[:, 0]
    bounds = []
    for k in (1, 2, 4, 16, 64):
        estimates = np.logaddexp.reduce(weights.reshape(-1, k), axis=1) - np.log(k)
        bounds.append(estimates.mean())
    assert np.all(np.diff(bounds) > 0)
    error = estimates.std() / np.sqrt(len(estimates))
    assert bounds[-1] <= TRUTH.log_prob(x)[0] + 5 * error
    elbo = _expected_bound(model, x)
    assert bounds[0] == pytest.approx(elbo, abs=5 * weights.std() / np.sqrt(len(weights)))


def test_log_weights_are_joint_over_posterior_by_scipy() -> None:
    """The mean of exp(log weight) is p(x), whose logarithm SciPy computes."""
    x = TRUTH.draw(3)
    weights = np.asarray(_linear("diagonal_gaussian").log_weights(x, 20_000, seed=4), np.float64)
    assert weights.shape == (20_000, 3)
    relative = np.exp(weights - TRUTH.log_prob(x))
    assert np.all(np.abs(relative.mean(axis=0) - 1) < 6 * relative.std(axis=0) / np.sqrt(20_000))


@pytest.mark.parametrize("posterior", sorted(POSTERIORS))
def test_the_noise_table_is_antithetic_and_from_the_seed(posterior: str) -> None:
    def table(seed: int) -> np.ndarray:
        config = VariationalConfig(
            network="dense", widths=(4,), latent_dim=3, posterior=posterior, noise_samples=400
        )
        return np.asarray(VariationalAutoencoder(config, SHAPE, seed=seed).noise_table)

    first = table(1)
    assert first.shape == (400, 3)
    np.testing.assert_array_equal(first[200:], -first[:200])
    np.testing.assert_array_equal(first, table(1))
    assert np.all(first != table(2))
    base = stats.laplace if posterior == "laplace" else stats.norm
    assert stats.kstest(first[:200].ravel(), base.cdf).pvalue > 1e-3


def test_inference_gives_the_log_weights_of_the_noise_table() -> None:
    """Every score that needs them uses log p(x, z) / q(z | x) for the same z: here p(x) itself."""
    x = TRUTH.draw(6)
    inferred = _linear().infer(x)
    assert inferred["z"].shape == (2 * D, 6, D)
    assert inferred["log_weights"].shape == (2 * D, 6)
    expected = np.broadcast_to(TRUTH.log_prob(x), (2 * D, 6))
    np.testing.assert_allclose(inferred["log_weights"], expected, rtol=1e-5, atol=1e-4)


def _images(count: int, seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).random((count, *SHAPE), dtype=np.float32)


def _model(latent_dim: int = D, **more: Any) -> VariationalAutoencoder:
    config = VariationalConfig(network="dense", widths=(8,), latent_dim=latent_dim, **more)
    return VariationalAutoencoder(config, SHAPE, seed=2)


def _losses(model: VariationalAutoencoder, x: np.ndarray, **training: bool) -> np.ndarray:
    """The loss of each record for the same draws of z, whatever was drawn before."""
    model.seed_generator.state.assign(np.array([3, 0], np.uint32))
    return np.asarray(model.training_loss(x, model(x, training=True), **training))


@pytest.mark.parametrize("posterior", sorted(POSTERIORS))
def test_beta_weighs_the_divergence_and_nothing_else(posterior: str) -> None:
    x = _images(5)
    models = {beta: _model(posterior=posterior, beta=beta) for beta in (1.0, 2.5, 10.0)}
    losses = {beta: _losses(model, x) for beta, model in models.items()}
    kl = np.asarray(models[1.0].infer(x)["kl"])
    for beta, loss in losses.items():
        np.testing.assert_allclose(loss, losses[1.0] + (beta - 1) * kl, rtol=1e-4)


def test_the_weight_of_the_divergence_rises_with_the_epochs() -> None:
    model, x = _model(beta=4.0, kl_warmup_epochs=5), _images(6)
    kl = np.asarray(model.infer(x)["kl"])
    whole = _losses(model, x, training=False)
    for epoch, share in [(0, 0.2), (1, 0.4), (3, 0.8), (4, 1.0), (5, 1.0), (90, 1.0)]:
        model.begin_epoch(epoch)
        np.testing.assert_allclose(model.kl_weight, 4 * share, rtol=1e-6)
        expected = whole - 4 * (1 - share) * kl
        np.testing.assert_allclose(_losses(model, x, training=True), expected, rtol=1e-4)
        np.testing.assert_array_equal(_losses(model, x, training=False), whole, "validation")
    assert not any(v is model.kl_weight for v in model.trainable_variables)


def test_without_warm_up_the_weight_is_beta_from_the_start() -> None:
    model = _model(beta=3.0)
    assert float(model.kl_weight) == 3
    model.begin_epoch(0)
    assert float(model.kl_weight) == 3


def test_keras_validates_with_the_full_weight() -> None:
    """Early stopping must not prefer an epoch for its low weight."""
    x = _images(8)
    model = _model(beta=50.0, kl_warmup_epochs=1000)
    model.compile(optimizer=keras.optimizers.SGD(0.0), jit_compile=False)
    model.begin_epoch(0)
    history = model.fit(x, x, validation_data=(x, x), verbose=0).history
    kl = np.mean(model.infer(x)["kl"])
    assert history["val_loss"][0] - history["loss"][0] == pytest.approx(49.95 * kl, rel=0.1)


@pytest.mark.parametrize("posterior", sorted(POSTERIORS))
@pytest.mark.parametrize("free", [0.01, 0.3, 20.0])
def test_free_bits_are_a_floor_under_the_batchs_mean(posterior: str, free: float) -> None:
    """For each dimension if the family factorises, for all of them together if not."""
    x, d = _images(6), 3
    plain = _model(d, posterior=posterior)
    floored = _model(d, posterior=posterior, free_bits=free)
    kl = np.asarray(plain.encode(x).kl_to_standard(), np.float64)
    dimensions = 1 if POSTERIORS[posterior].factorised else d
    floor = free * np.log(2) * dimensions
    expected = np.maximum(kl.mean(axis=0), floor).sum()
    likelihood = _losses(plain, x) - kl.sum(axis=1)
    np.testing.assert_allclose(_losses(floored, x), likelihood + expected, rtol=1e-4)


@pytest.mark.parametrize("posterior", sorted(POSTERIORS))
def test_below_the_floor_the_divergence_has_no_gradient(posterior: str) -> None:
    """Then the encoder learns from the likelihood alone, whatever beta is."""

    def gradients(**more: Any) -> list[np.ndarray]:
        model = _model(3, posterior=posterior, **more)
        model.seed_generator.state.assign(np.array([3, 0], np.uint32))
        with tf.GradientTape() as tape:
            outputs = model(_images(6), training=True)
            loss = tf.reduce_mean(model.training_loss(_images(6), outputs))
        weights = [weight.value for weight in model.encoder.trainable_variables]
        return [np.asarray(gradient) for gradient in tape.gradient(loss, weights)]

    below = gradients(free_bits=50.0)
    for one, two in zip(below, gradients(free_bits=50.0, beta=100.0), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)
    above = gradients(free_bits=1e-6)
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(above, below, strict=True))
    for one, two in zip(above, gradients(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("prior", ["standard", "vamp"])
@pytest.mark.parametrize("posterior", sorted(POSTERIORS))
def test_iwae_is_minus_the_log_mean_weight(posterior: str, prior: str) -> None:
    x = _images(4)
    for samples in (1, 5):
        model = _model(
            posterior=posterior, prior=prior, prior_components=3, objective="iwae", samples=samples
        )
        model.initialise(_images(3))
        outputs = model(x, training=True)
        assert outputs.z.shape == (samples, 4, D)
        z = outputs.z
        log_weights = np.asarray(
            model.likelihood.log_prob(outputs.likelihood, x)
            + model.prior.log_prob(z)
            - model.encode(x).log_prob(z),
            np.float64,
        )
        assert log_weights.shape == (samples, 4)
        expected = np.log(samples) - np.logaddexp.reduce(log_weights, axis=0)
        np.testing.assert_allclose(model.training_loss(x, outputs), expected, rtol=1e-4)
        if samples == 1:
            np.testing.assert_allclose(expected, -log_weights[0], rtol=1e-12)


def test_several_samples_average_the_likelihood_of_the_elbo() -> None:
    x, model = _images(4), _model(samples=3)
    outputs = model(x, training=True)
    log_likelihood = [np.asarray(model.likelihood.log_prob(model.decoder(z), x)) for z in outputs.z]
    expected = np.asarray(model.infer(x)["kl"]) - np.mean(log_likelihood, axis=0)
    np.testing.assert_allclose(model.training_loss(x, outputs), expected, rtol=1e-4)


@pytest.mark.slow
def test_an_encoder_learns_the_correlated_posterior_only_with_a_full_covariance() -> None:
    """Trained with its own objective, with the true decoder fixed."""
    x = TRUTH.draw(512)
    short = {}
    for posterior in GAUSSIANS:
        model = _linear(posterior, best=False, samples=4)
        rng = np.random.default_rng(1)
        for weight in model.encoder.trainable_variables:  # away from the point where ReLUs are dead
            weight.assign(weight + 0.2 * rng.normal(size=weight.shape))
        model.decoder.trainable = False
        rate = keras.optimizers.schedules.CosineDecay(0.05, 240)
        model.compile(optimizer=keras.optimizers.Adam(rate), jit_compile=False)
        model.fit(x, x, batch_size=128, epochs=60, verbose=0, shuffle=False)
        short[posterior] = np.mean(TRUTH.log_prob(x) - _bound(model, x))
    assert short["full_gaussian"] < 0.05
    assert short["diagonal_gaussian"] == pytest.approx(TRUTH.gap("diagonal_gaussian"), abs=0.06)
