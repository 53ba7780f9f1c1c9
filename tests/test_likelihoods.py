"""Densities, means, samples and divergences against SciPy in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from ae_models.likelihoods import LIKELIHOODS, Bernoulli, Gaussian, LikelihoodOptions
from ae_models.posteriors import DiagonalGaussian

SHAPE = (5, 4, 3, 2)  # (N, H, W, C)
DRAWS = 40_000
finite = st.floats(-30, 30, width=32)


def _softplus(raw: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, raw.astype(np.float64))


def _gaussian_parameters(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    mean, raw = generator.normal(scale=2.0, size=(2, *SHAPE)).astype(np.float32)
    return mean, raw


def test_gaussian_log_prob_is_scipys(generator: np.random.Generator) -> None:
    mean, raw = _gaussian_parameters(generator)
    x = generator.random(SHAPE, dtype=np.float32)
    expected = stats.norm(mean.astype(np.float64), 0.01 + _softplus(raw)).logpdf(x)
    gaussian, parameters = Gaussian(), np.concatenate([mean, raw], axis=-1)
    np.testing.assert_allclose(gaussian.log_prob_per_value(parameters, x), expected, rtol=2e-5)
    summed = expected.sum(axis=(1, 2, 3))
    assert summed.shape == (5,)
    np.testing.assert_allclose(gaussian.log_prob(parameters, x), summed, rtol=2e-5)
    np.testing.assert_array_equal(gaussian.mean(parameters), mean)


def test_gaussian_scale_never_falls_below_its_minimum() -> None:
    parameters = np.array([0.5, -200.0], np.float32).reshape(1, 1, 1, 2)
    assert np.isclose(np.asarray(Gaussian(LikelihoodOptions(min_scale=0.02)).scale(parameters)).item(), 0.02)
    x = np.full((1, 1, 1, 1), 0.5, np.float32)
    expected = stats.norm(0.5, 0.02).logpdf(0.5)
    assert np.isclose(np.asarray(Gaussian(LikelihoodOptions(min_scale=0.02)).log_prob(parameters, x)).item(), expected)


def test_bernoulli_log_prob_is_scipys(generator: np.random.Generator) -> None:
    logits = generator.normal(scale=4.0, size=SHAPE).astype(np.float32)
    x = generator.integers(0, 2, SHAPE).astype(np.float32)
    expected = stats.bernoulli(special.expit(logits.astype(np.float64))).logpmf(x)
    np.testing.assert_allclose(
        Bernoulli().log_prob_per_value(logits, x), expected, rtol=1e-4, atol=1e-6
    )
    summed = expected.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(Bernoulli().log_prob(logits, x), summed, rtol=1e-5)
    np.testing.assert_allclose(Bernoulli().mean(logits), special.expit(logits), rtol=1e-6)


@settings(deadline=None, max_examples=60)
@given(logit=st.floats(-1e4, 1e4, width=32), x=st.floats(0, 1, width=32))
def test_bernoulli_of_grey_levels_is_the_cross_entropy(logit: float, x: float) -> None:
    expected = x * special.log_expit(logit) + (1 - x) * special.log_expit(-logit)
    parameters = np.full((1, 1, 1, 1), logit, np.float32)
    value = Bernoulli().log_prob(parameters, np.full_like(parameters, x))
    np.testing.assert_allclose(np.asarray(value).item(), expected, rtol=1e-5, atol=2e-3)


@pytest.mark.parametrize(("outside", "bound"), [(-3.0, 0.0), (-1e-3, 0.0), (1.5, 1.0), (40, 1.0)])
def test_bernoulli_clips_what_no_image_can_be(outside: float, bound: float) -> None:
    logits = np.linspace(-6, 6, 8, dtype=np.float32).reshape(1, 4, 2, 1)
    clipped = Bernoulli().log_prob_per_value(logits, np.full_like(logits, bound))
    value = Bernoulli().log_prob_per_value(logits, np.full_like(logits, outside))
    np.testing.assert_array_equal(value, clipped)
    assert np.all(np.asarray(value) <= 0)


def test_gaussian_samples_have_the_declared_moments() -> None:
    mean, raw = np.array([-1.0, 0.3], np.float32), np.array([-5.0, 1.5], np.float32)
    row = np.concatenate([mean, raw]).reshape(1, 1, 1, 4)
    drawn = np.asarray(Gaussian().sample(np.repeat(row, DRAWS, axis=0), seed=1)).reshape(-1, 2)
    scale = 0.01 + _softplus(raw)
    for value, m, s in zip(drawn.astype(np.float64).T, mean, scale, strict=True):
        assert stats.kstest(value, stats.norm(m, s).cdf).pvalue > 1e-3
        assert abs(value.mean() - m) < 5 * s / np.sqrt(DRAWS)
        assert abs(value.var() / s**2 - 1) < 5 * np.sqrt(2 / DRAWS)


@pytest.mark.parametrize("logit", [-3.0, 0.0, 1.2])
def test_bernoulli_samples_have_the_declared_moments(logit: float) -> None:
    parameters = np.full((DRAWS, 1, 1, 1), logit, np.float32)
    drawn = np.asarray(Bernoulli().sample(parameters, seed=2)).ravel()
    assert set(np.unique(drawn)) == {0.0, 1.0}
    declared = stats.bernoulli(special.expit(logit))
    assert abs(drawn.mean() - declared.mean()) < 5 * declared.std() / np.sqrt(DRAWS)
    assert np.isclose(drawn.var(), declared.var(), rtol=0.05)


@pytest.mark.parametrize("name", sorted(LIKELIHOODS))
def test_samples_follow_their_seed(name: str, generator: np.random.Generator) -> None:
    likelihood = LIKELIHOODS[name]()
    channels = SHAPE[-1] * likelihood.parameters_per_value
    parameters = generator.normal(size=(*SHAPE[:-1], channels)).astype(np.float32)
    first = np.asarray(likelihood.sample(parameters, seed=3))
    assert first.shape == SHAPE
    np.testing.assert_array_equal(first, likelihood.sample(parameters, seed=3))
    assert np.any(first != np.asarray(likelihood.sample(parameters, seed=4)))


@pytest.mark.parametrize("name", sorted(LIKELIHOODS))
def test_log_prob_takes_any_leading_axes(name: str, generator: np.random.Generator) -> None:
    likelihood = LIKELIHOODS[name]()
    channels = SHAPE[-1] * likelihood.parameters_per_value
    parameters = generator.normal(size=(2, *SHAPE[:-1], channels)).astype(np.float32)
    x = generator.random(SHAPE, dtype=np.float32)
    value = np.asarray(likelihood.log_prob(parameters, x))
    assert value.shape == (2, 5)
    np.testing.assert_allclose(value[1], likelihood.log_prob(parameters[1], x), rtol=1e-6)


def _posterior(generator: np.random.Generator, d: int = 4) -> tuple[np.ndarray, DiagonalGaussian]:
    parameters = generator.normal(scale=1.5, size=(6, DiagonalGaussian.outputs(d)))
    return parameters.astype(np.float32), DiagonalGaussian(parameters.astype(np.float32), d)


def test_posterior_log_prob_is_scipys_multivariate_normal(generator: np.random.Generator) -> None:
    parameters, posterior = _posterior(generator)
    mean, stddev = parameters[:, :4], 1e-4 + _softplus(parameters[:, 4:])
    np.testing.assert_allclose(posterior.stddev, stddev, rtol=1e-6)
    z = generator.normal(size=(6, 4)).astype(np.float32)
    expected = [
        stats.multivariate_normal(m, np.diag(s**2)).logpdf(v)
        for m, s, v in zip(mean, stddev, z, strict=True)
    ]
    np.testing.assert_allclose(posterior.log_prob(z), expected, rtol=2e-5)


def test_posterior_samples_have_the_declared_moments(generator: np.random.Generator) -> None:
    parameters = np.array([[-1.0, 2.0, -4.0, 1.0]], np.float32)
    posterior = DiagonalGaussian(np.repeat(parameters, DRAWS, axis=0), 2)
    noise = generator.standard_normal((DRAWS, 2)).astype(np.float32)
    z = np.asarray(posterior.sample(noise), np.float64)
    stddev = 1e-4 + _softplus(parameters[0, 2:])
    assert np.all(np.abs(z.mean(axis=0) - parameters[0, :2]) < 5 * stddev / np.sqrt(DRAWS))
    np.testing.assert_allclose(z.std(axis=0), stddev, rtol=0.02)
    assert abs(np.corrcoef(z.T)[0, 1]) < 0.03


def test_one_row_of_noise_serves_every_record(generator: np.random.Generator) -> None:
    parameters, posterior = _posterior(generator)
    noise = generator.standard_normal(4).astype(np.float32)
    expected = parameters[:, :4] + (1e-4 + _softplus(parameters[:, 4:])) * noise
    np.testing.assert_allclose(posterior.sample(noise), expected, rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(values=st.lists(st.tuples(finite, finite), min_size=1, max_size=5))
def test_kl_is_the_closed_form_and_never_negative(values: list[tuple[float, float]]) -> None:
    mean, raw = np.array(values, np.float32).T
    stddev = 1e-4 + _softplus(raw)
    expected = np.sum(stddev**2 + mean.astype(np.float64) ** 2 - 1 - 2 * np.log(stddev)) / 2
    value = np.sum(DiagonalGaussian(np.concatenate([mean, raw])[None], len(mean)).kl_to_standard(), -1)
    # float32's own rounding of terms that cancel.
    np.testing.assert_allclose(value, [expected], rtol=1e-5, atol=1e-5)
    assert value.item() > -1e-5


@pytest.mark.parametrize(("mean", "raw"), [(0.0, 0.5413), (1.3, -2.0), (-0.4, 2.5)])
def test_kl_is_the_integral_that_defines_it(mean: float, raw: float) -> None:
    q = stats.norm(mean, 1e-4 + np.logaddexp(0.0, raw))
    expected, _ = integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - stats.norm.logpdf(z)), *q.interval(1 - 1e-13)
    )
    value = DiagonalGaussian(np.array([[mean, raw]], np.float32), 1).kl_to_standard()
    np.testing.assert_allclose(np.asarray(value).item(), expected, rtol=1e-5, atol=1e-6)


def test_kl_is_the_mean_log_ratio_of_samples(generator: np.random.Generator) -> None:
    parameters, posterior = _posterior(generator, d=3)
    noise = generator.standard_normal((DRAWS, 3)).astype(np.float32)
    for row in range(len(parameters)):
        one = DiagonalGaussian(parameters[row : row + 1], 3)
        z = np.asarray(one.sample(noise))
        ratios = np.asarray(one.log_prob(z)) - stats.norm.logpdf(z).sum(axis=1)
        error = ratios.std() / np.sqrt(DRAWS)
        assert abs(ratios.mean() - np.asarray(posterior.kl_to_standard())[row]) < 5 * error
