"""Posteriors against SciPy in float64: densities, samples, divergences."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from ae_models.posteriors import POSTERIORS
from ae_models.posteriors.full_gaussian import FullGaussian
from ae_models.posteriors.posterior import Posterior

DRAWS = 40_000
finite = st.floats(-30, 30, width=32)
every_posterior = pytest.mark.parametrize("name", sorted(POSTERIORS))
FACTORISED = sorted(name for name, family in POSTERIORS.items() if family.factorised)
BASES = {"diagonal_gaussian": stats.norm, "full_gaussian": stats.norm, "laplace": stats.laplace}


def _scale(raw: np.ndarray) -> np.ndarray:
    return 1e-4 + np.logaddexp(0.0, np.asarray(raw, np.float64))


def _parameters(name: str, generator: np.random.Generator, n: int = 6, d: int = 4) -> np.ndarray:
    return generator.normal(size=(n, POSTERIORS[name].outputs(d))).astype(np.float32)


def _cholesky(parameters: np.ndarray, d: int) -> np.ndarray:
    """L of each record from the documented layout, float64."""
    result = np.zeros((len(parameters), d, d))
    for record, row in zip(result, parameters.astype(np.float64), strict=True):
        below = iter(row[2 * d :])
        for i in range(d):
            record[i, i] = _scale(row[d + i])
            for j in range(i):
                record[i, j] = next(below)
    return result


def _log_prob(name: str, parameters: np.ndarray, z: np.ndarray) -> np.ndarray:
    """By SciPy, for z (..., N, d): (..., N)."""
    d = z.shape[-1]
    mean = parameters[:, :d].astype(np.float64)
    if name == "full_gaussian":
        factors = _cholesky(parameters, d)
        by_record = [
            stats.multivariate_normal(m, factor @ factor.T).logpdf(z[..., n, :])
            for n, (m, factor) in enumerate(zip(mean, factors, strict=True))
        ]
        return np.stack(by_record, axis=-1)
    return BASES[name](mean, _scale(parameters[:, d:])).logpdf(z).sum(axis=-1)


@every_posterior
@pytest.mark.parametrize("d", [1, 2, 5])
def test_log_prob_is_scipys(name: str, d: int, generator: np.random.Generator) -> None:
    parameters = _parameters(name, generator, d=d)
    posterior = POSTERIORS[name](parameters, d)
    for shape in ((6, d), (3, 6, d)):
        z = generator.normal(size=shape).astype(np.float32)
        value = np.asarray(posterior.log_prob(z))
        assert value.shape == shape[:-1]
        np.testing.assert_allclose(value, _log_prob(name, parameters, z), rtol=2e-4, atol=1e-3)


@every_posterior
def test_declared_moments_are_those_of_scipy(name: str, generator: np.random.Generator) -> None:
    parameters = _parameters(name, generator)
    posterior = POSTERIORS[name](parameters, 4)
    np.testing.assert_array_equal(posterior.mean, parameters[:, :4])
    if name == "full_gaussian":
        factors = _cholesky(parameters, 4)
        expected = np.sqrt(np.einsum("nij,nij->ni", factors, factors))
    else:
        expected = BASES[name](0, _scale(parameters[:, 4:])).std()
    np.testing.assert_allclose(posterior.stddev, expected, rtol=2e-6)


@every_posterior
def test_the_deviation_never_falls_to_zero(name: str) -> None:
    parameters = np.zeros((1, POSTERIORS[name].outputs(2)), np.float32)
    parameters[:, 2:4] = -300.0
    posterior = POSTERIORS[name](parameters, 2)
    assert np.all(np.asarray(posterior.stddev) >= 1e-4 * (1 - 1e-6))
    assert np.isfinite(posterior.log_prob(np.zeros((1, 2), np.float32))).all()
    assert np.isfinite(posterior.kl_to_standard()).all()


@every_posterior
def test_noise_is_scipys_and_follows_its_seed(name: str) -> None:
    family = POSTERIORS[name]
    drawn = np.asarray(family.noise((DRAWS, 2), seed=1))
    assert drawn.dtype == np.float32
    table = family.noise_table((DRAWS, 2), np.random.default_rng(1))
    for values in (*drawn.T, *table.T):
        assert stats.kstest(values, BASES[name].cdf).pvalue > 1e-3
        assert np.isfinite(values).all()
        assert abs(values.mean()) < 5 * BASES[name].std() / np.sqrt(DRAWS)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.03
    np.testing.assert_array_equal(drawn, family.noise((DRAWS, 2), seed=1))
    assert np.any(drawn != np.asarray(family.noise((DRAWS, 2), seed=2)))
    again = family.noise_table((DRAWS, 2), np.random.default_rng(1))
    np.testing.assert_array_equal(table, again)


@every_posterior
def test_samples_have_the_declared_moments(name: str, generator: np.random.Generator) -> None:
    parameters = _parameters(name, generator, n=2, d=3)
    posterior = POSTERIORS[name](parameters, 3)
    z = np.asarray(posterior.sample(posterior.noise((DRAWS, 2, 3), seed=4)), np.float64)
    assert z.shape == (DRAWS, 2, 3)
    for record in range(2):
        drawn, stddev = z[:, record], np.asarray(posterior.stddev)[record]
        assert np.all(np.abs(drawn.mean(axis=0) - parameters[record, :3]) < 5 * stddev / DRAWS**0.5)
        np.testing.assert_allclose(drawn.std(axis=0), stddev, rtol=0.03)
        for dimension in range(3):
            standard = (drawn[:, dimension] - parameters[record, dimension]) / stddev[dimension]
            oracle = BASES[name](scale=1 / BASES[name].std())
            assert stats.kstest(standard, oracle.cdf).pvalue > 1e-3
        if name == "full_gaussian":
            factor = _cholesky(parameters, 3)[record]
            expected = factor @ factor.T
        else:
            expected = np.diag(stddev**2)
        error = np.sqrt((np.outer(stddev**2, stddev**2) + expected**2) / DRAWS)
        assert np.all(np.abs(np.cov(drawn.T) - expected) < 8 * error)


@every_posterior
def test_noise_of_one_row_one_a_record_or_many(name: str, generator: np.random.Generator) -> None:
    posterior = POSTERIORS[name](_parameters(name, generator), 4)
    noise = generator.normal(size=(3, 6, 4)).astype(np.float32)
    many = np.asarray(posterior.sample(noise))
    np.testing.assert_allclose(posterior.sample(noise[1]), many[1], rtol=1e-6, atol=1e-6)
    row = np.asarray(posterior.sample(noise[0, 0]))
    np.testing.assert_allclose(
        row, posterior.sample(np.repeat(noise[0, :1], 6, axis=0)), rtol=1e-6, atol=1e-6
    )
    table = np.asarray(posterior.sample(noise[:, :1]))  # (K, 1, d), the layout of the noise table
    assert table.shape == (3, 6, 4)
    np.testing.assert_allclose(table[0], row, rtol=1e-6, atol=1e-6)


@every_posterior
def test_a_graph_that_does_not_know_its_batch(name: str, generator: np.random.Generator) -> None:
    def everything(parameters: tf.Tensor, z: tf.Tensor) -> list[tf.Tensor]:
        posterior = POSTERIORS[name](parameters, 3)
        return [
            posterior.sample(z),
            posterior.log_prob(z),
            posterior.kl_to_standard(),
            posterior.stddev,
        ]

    parameters = _parameters(name, generator, d=3)
    signature = [tf.TensorSpec((None, parameters.shape[1])), tf.TensorSpec((None, None, 3))]
    graph = tf.function(everything, input_signature=signature)
    for n, k in ((6, 2), (1, 5)):
        z = generator.normal(size=(k, n, 3)).astype(np.float32)
        expected = everything(tf.constant(parameters[:n]), tf.constant(z))
        for value, eager in zip(graph(parameters[:n], z), expected, strict=True):
            assert value.shape == eager.shape
            np.testing.assert_allclose(value, eager, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("d", [1, 2, 3, 7, 16])
def test_the_cholesky_factor_is_lower_triangular(d: int, generator: np.random.Generator) -> None:
    assert FullGaussian.outputs(d) == d + d * (d + 1) // 2
    parameters = _parameters("full_gaussian", generator, d=d)
    factor = np.asarray(FullGaussian(parameters, d).cholesky)
    np.testing.assert_allclose(factor, _cholesky(parameters, d), rtol=1e-6)
    np.testing.assert_array_equal(factor, np.tril(factor))
    assert np.all(np.diagonal(factor, axis1=1, axis2=2) > 0)


@every_posterior
def test_gradients_reach_every_parameter(name: str, generator: np.random.Generator) -> None:
    parameters = tf.constant(_parameters(name, generator))
    noise = generator.normal(size=(6, 4)).astype(np.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(parameters)
        posterior = POSTERIORS[name](parameters, 4)
        kl = posterior.kl_to_standard()
        log_prob = posterior.log_prob(noise)
        z = posterior.sample(noise)
    for value in (kl, log_prob, z):
        gradient = np.asarray(tape.gradient(value, parameters))
        assert np.isfinite(gradient).all()
        assert np.all(gradient != 0)


@every_posterior
def test_kl_is_the_mean_log_ratio_of_samples(name: str, generator: np.random.Generator) -> None:
    parameters = _parameters(name, generator, d=3)
    posterior = POSTERIORS[name](parameters, 3)
    kl = np.asarray(posterior.kl_to_standard())
    assert kl.shape == ((6, 3) if posterior.factorised else (6, 1))
    z = np.asarray(posterior.sample(posterior.noise((DRAWS, 6, 3), seed=5)), np.float64)
    ratios = _log_prob(name, parameters, z) - stats.norm.logpdf(z).sum(axis=-1)
    error = ratios.std(axis=0) / np.sqrt(DRAWS)
    assert np.all(np.abs(ratios.mean(axis=0) - kl.sum(axis=-1)) < 5 * error)


@pytest.mark.parametrize("name", FACTORISED)
@pytest.mark.parametrize(("mean", "raw"), [(0.0, 0.5413), (1.3, -2.0), (-0.4, 2.5), (3.0, 0.0)])
def test_kl_is_the_integral_that_defines_it(name: str, mean: float, raw: float) -> None:
    mean, raw = np.float32([mean, raw]).astype(float)
    q = BASES[name](mean, _scale(raw))
    expected, _ = integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - stats.norm.logpdf(z)),
        *q.interval(1 - 1e-13),
        points=[mean],
        limit=200,
    )
    value = POSTERIORS[name](np.array([[mean, raw]], np.float32), 1).kl_to_standard()
    np.testing.assert_allclose(np.asarray(value).item(), expected, rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(FACTORISED),
    values=st.lists(st.tuples(finite, finite), min_size=1, max_size=5),
)
def test_kl_is_the_closed_form_and_never_negative(
    name: str, values: list[tuple[float, float]]
) -> None:
    mean, raw = np.array(values, np.float32).T
    q = BASES[name](mean.astype(np.float64), _scale(raw))
    cross_entropy = 0.5 * (q.var() + q.mean() ** 2 + np.log(2 * np.pi))
    expected = cross_entropy - q.entropy()
    value = POSTERIORS[name](np.concatenate([mean, raw])[None], len(mean)).kl_to_standard()
    # float32's rounding of terms that cancel.
    np.testing.assert_allclose(np.asarray(value)[0], expected, rtol=1e-5, atol=1e-5)
    assert np.all(np.asarray(value) > -1e-5)


def test_kl_of_a_full_covariance_is_that_of_its_factor(generator: np.random.Generator) -> None:
    """½·(tr Σ + μᵀ·μ − d − log det Σ), and that of the diagonal family if L is diagonal."""
    parameters = _parameters("full_gaussian", generator)
    expected = []
    for mean, factor in zip(parameters[:, :4], _cholesky(parameters, 4), strict=True):
        sigma = factor @ factor.T
        expected.append((np.trace(sigma) + mean @ mean - 4 - np.linalg.slogdet(sigma)[1]) / 2)
    value = np.asarray(FullGaussian(parameters, 4).kl_to_standard())
    np.testing.assert_allclose(value[:, 0], expected, rtol=1e-5)
    parameters[:, 8:] = 0
    diagonal: Posterior = POSTERIORS["diagonal_gaussian"](parameters[:, :8], 4)
    np.testing.assert_allclose(
        FullGaussian(parameters, 4).kl_to_standard()[:, 0],
        np.asarray(diagonal.kl_to_standard()).sum(axis=1),
        rtol=1e-5,
    )
