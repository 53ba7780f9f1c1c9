"""Densities, means, variances and samples of likelihoods against SciPy in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from ae_models.likelihoods import LIKELIHOODS
from ae_models.likelihoods.bernoulli import Bernoulli
from ae_models.likelihoods.likelihood import Likelihood
from ae_models.likelihoods.options import OF_UNIT_SCALING, LikelihoodOptions

SHAPE = (5, 7, 3, 2)  # (N, H, W, C), odd sides
DRAWS = 40_000
SCALES = ("per_pixel", "shared", "fixed")
SCALED = ("gaussian", "laplace", "discretised_logistic")
every_family = pytest.mark.parametrize("name", sorted(LIKELIHOODS))
# Each family with each source of its scale.
FAMILIES = [
    (name, scale)
    for name in sorted(LIKELIHOODS)
    for scale in (SCALES if name in SCALED else ("per_pixel",))
]
every_scale = pytest.mark.parametrize(("name", "scale"), FAMILIES)
DENSITIES: dict[str, Callable[..., Any]] = {"gaussian": stats.norm, "laplace": stats.laplace}


def _softplus(raw: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, np.asarray(raw, np.float64))


def _likelihood(name: str, scale: str = "per_pixel", **options: Any) -> Likelihood:
    return LIKELIHOODS[name](LikelihoodOptions(scale=scale, **options))


def _parameters(
    likelihood: Likelihood, generator: np.random.Generator, shape: tuple[int, ...] = SHAPE
) -> np.ndarray:
    channels = shape[-1] * likelihood.parameters_per_value
    return generator.normal(size=(*shape[:-1], channels)).astype(np.float32)


def _location_and_scale(
    parameters: np.ndarray, scale: str, value: float = 0.1, least: float = 0.01
) -> tuple[np.ndarray, Any]:
    if scale != "per_pixel":
        return parameters.astype(np.float64), value
    location, raw = np.split(parameters.astype(np.float64), 2, axis=-1)
    return location, least + _softplus(raw)


def _pixel(*values: float) -> np.ndarray:
    """The decoder's output for one image with one value."""
    return np.array(values, np.float32).reshape(1, 1, 1, -1)


def _drawn(likelihood: Likelihood, *values: float, seed: int = 1) -> np.ndarray:
    """Many values drawn with the same parameters, float64."""
    parameters = np.repeat(_pixel(*values), DRAWS, axis=0)
    return np.asarray(likelihood.sample(parameters, seed=seed), np.float64).ravel()


def _assert_moments(drawn: np.ndarray, mean: float, variance: float, rtol: float = 0.0) -> None:
    """Within five standard errors, with the sample's fourth moment, or `rtol` of the variance."""
    error = np.sqrt(variance / len(drawn))
    assert abs(drawn.mean() - mean) < 5 * error + rtol * np.sqrt(variance)
    spread = np.std((drawn - drawn.mean()) ** 2) / np.sqrt(len(drawn))
    assert abs(drawn.var() - variance) < 5 * spread + rtol * variance + 1e-9


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", sorted(DENSITIES))
def test_log_prob_mean_and_variance_are_scipys(
    name: str, scale: str, generator: np.random.Generator
) -> None:
    likelihood = _likelihood(name, scale, scale_value=0.25, min_scale=0.02)
    assert likelihood.parameters_per_value == (2 if scale == "per_pixel" else 1)
    parameters = _parameters(likelihood, generator)
    location, spread = _location_and_scale(parameters, scale, 0.25, 0.02)
    x = generator.random(SHAPE, dtype=np.float32)
    oracle = DENSITIES[name](location, spread)
    expected = oracle.logpdf(x)
    value = likelihood.log_prob_per_value(parameters, x)
    np.testing.assert_allclose(value, expected, rtol=3e-5, atol=1e-5)
    total = likelihood.log_prob(parameters, x)
    np.testing.assert_allclose(total, expected.sum(axis=(1, 2, 3)), rtol=3e-5)
    np.testing.assert_array_equal(likelihood.mean(parameters), location.astype(np.float32))
    variance = np.asarray(likelihood.variance(parameters))
    assert variance.shape == SHAPE
    np.testing.assert_allclose(variance, np.broadcast_to(oracle.var(), SHAPE), rtol=2e-5)


@pytest.mark.parametrize("name", SCALED)
def test_a_learned_scale_never_falls_below_its_minimum(name: str) -> None:
    likelihood = _likelihood(name, min_scale=0.02)
    np.testing.assert_allclose(likelihood.scale(_pixel(0.5, -200.0)), 0.02, rtol=1e-6)
    shared = _likelihood(name, "shared", min_scale=0.02, scale_value=0.03)
    shared.trainable_weights[0].assign(-200.0)
    np.testing.assert_allclose(shared.scale(_pixel(0.5)), 0.02, rtol=1e-6)
    fixed = _likelihood(name, "fixed", min_scale=0.02, scale_value=0.001)
    assert fixed.scale(_pixel(0.5)) == 0.001, "a fixed scale is what it was fixed at"


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("value", [0.05, 0.4, 3.0])
def test_a_shared_scale_is_one_weight_that_starts_where_it_should(name: str, value: float) -> None:
    likelihood = _likelihood(name, "shared", scale_value=value)
    assert [tuple(weight.shape) for weight in likelihood.trainable_weights] == [()]
    np.testing.assert_allclose(likelihood.scale(_pixel(0.5)), value, rtol=1e-5)
    assert _likelihood(name, "per_pixel").weights == []
    assert _likelihood(name, "fixed").weights == []


@every_scale
def test_gradients_reach_every_parameter(
    name: str, scale: str, generator: np.random.Generator
) -> None:
    likelihood = _likelihood(name, scale)
    parameters = tf.constant(_parameters(likelihood, generator))
    x = generator.random(SHAPE, dtype=np.float32)
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        value = likelihood.log_prob(parameters, x)
    weights = [weight.value for weight in likelihood.trainable_weights]
    for gradient in tape.gradient(value, [parameters, *weights]):
        assert np.isfinite(gradient).all()
        assert np.mean(np.asarray(gradient) != 0) > 0.99


def test_bernoulli_log_prob_is_scipys(generator: np.random.Generator) -> None:
    logits = generator.normal(scale=4.0, size=SHAPE).astype(np.float32)
    x = generator.integers(0, 2, SHAPE).astype(np.float32)
    oracle = stats.bernoulli(special.expit(logits.astype(np.float64)))
    expected = oracle.logpmf(x)
    np.testing.assert_allclose(
        Bernoulli().log_prob_per_value(logits, x), expected, rtol=1e-4, atol=1e-6
    )
    summed = expected.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(Bernoulli().log_prob(logits, x), summed, rtol=1e-5)
    np.testing.assert_allclose(Bernoulli().mean(logits), oracle.mean(), rtol=1e-6)
    np.testing.assert_allclose(Bernoulli().variance(logits), oracle.var(), rtol=1e-5)


@settings(deadline=None, max_examples=60)
@given(logit=st.floats(-1e4, 1e4, width=32), x=st.floats(0, 1, width=32))
def test_bernoulli_of_grey_levels_is_the_cross_entropy(logit: float, x: float) -> None:
    expected = x * special.log_expit(logit) + (1 - x) * special.log_expit(-logit)
    value = Bernoulli().log_prob(_pixel(logit), _pixel(x))
    np.testing.assert_allclose(np.asarray(value).item(), expected, rtol=1e-5, atol=2e-3)


@pytest.mark.parametrize("name", sorted(OF_UNIT_SCALING))
@pytest.mark.parametrize(("outside", "bound"), [(-3.0, 0.0), (-1e-3, 0.0), (1.5, 1.0), (40, 1.0)])
def test_what_no_image_can_be_is_clipped(name: str, outside: float, bound: float) -> None:
    likelihood = _likelihood(name, "fixed")
    parameters = np.linspace(-6, 6, 8, dtype=np.float32).reshape(1, 4, 2, 1)
    clipped = likelihood.log_prob_per_value(parameters, np.full_like(parameters, bound))
    value = likelihood.log_prob_per_value(parameters, np.full_like(parameters, outside))
    np.testing.assert_array_equal(value, clipped)


def _tilted(logit: float) -> tuple[Any, Callable[[Any], Any]]:
    """SciPy's truncated exponential, and the map that turns it into the continuous Bernoulli:
    on [0, 1], with rate |logit|, mirrored if the logit is positive."""
    size = abs(logit)
    return stats.truncexpon(size, scale=1 / size), lambda x: 1 - x if logit > 0 else x


LOGITS = [1e-3, -1e-3, 0.02, 0.3, -0.499, 0.5, -0.501, 0.999, 1.001, -2.5, 8.0, -30.0, 90.0, -600.0]


@pytest.mark.parametrize("logit", LOGITS)
def test_continuous_bernoulli_is_scipys_truncated_exponential(logit: float) -> None:
    logit = float(np.float32(logit))
    oracle, mirrored = _tilted(logit)
    x = np.linspace(0, 1, 21, dtype=np.float32).reshape(-1, 1, 1, 1)
    likelihood = _likelihood("continuous_bernoulli")
    parameters = np.full_like(x, logit)
    expected = oracle.logpdf(mirrored(x.astype(np.float64)))
    value = likelihood.log_prob(parameters, x)
    # 0.5·l·(…) with terms as large as the logit.
    np.testing.assert_allclose(value, expected.ravel(), rtol=1e-5, atol=2e-7 * (1 + abs(logit)))
    mean, variance = mirrored(oracle.mean()), oracle.var()
    # SciPy's closed form of the variance loses its digits close to 0.
    if abs(logit) < 0.1:
        mean, variance = 0.5 + logit / 12, 1 / 12
    np.testing.assert_allclose(np.ravel(likelihood.mean(parameters))[0], mean, rtol=2e-6)
    np.testing.assert_allclose(np.ravel(likelihood.variance(parameters))[0], variance, rtol=1e-4)


@pytest.mark.parametrize("logit", [-20.0, -1.0, -0.7, -0.4, 0.0, 0.1, 0.6, 1.5, 12.0])
def test_continuous_bernoulli_integrates_to_one_and_to_its_moments(logit: float) -> None:
    likelihood = _likelihood("continuous_bernoulli")

    def density(x: float) -> float:
        return float(np.exp(np.asarray(likelihood.log_prob(_pixel(logit), _pixel(x))).item()))

    def moment(power: int) -> float:
        return integrate.quad(lambda x: x**power * density(x), 0, 1, epsabs=1e-5, limit=30)[0]

    mean, variance = (
        np.asarray(value).item()
        for value in (likelihood.mean(_pixel(logit)), likelihood.variance(_pixel(logit)))
    )
    assert moment(0) == pytest.approx(1, abs=2e-5)
    assert moment(1) == pytest.approx(mean, abs=2e-5)
    assert moment(2) - moment(1) ** 2 == pytest.approx(variance, abs=5e-5)


def test_continuous_bernoulli_is_finite_for_every_logit() -> None:
    likelihood = _likelihood("continuous_bernoulli")
    sizes = np.append(10.0 ** np.arange(-40, 38.4, 0.3), 0.0)
    logits = np.concatenate([sizes, -sizes]).astype(np.float32).reshape(-1, 1, 1, 1)
    at, x = tf.constant(logits), np.array([0.0, 0.3, 1.0], np.float32).reshape(-1, 1, 1, 1, 1)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(at)
        values = {
            "log_prob": likelihood.log_prob(at, x),
            "mean": likelihood.mean(at),
            "variance": likelihood.variance(at),
        }
    for name, value in values.items():
        assert np.isfinite(value).all(), name
        assert np.isfinite(tape.gradient(value, at)).all(), name
    assert np.all((np.asarray(values["mean"]) >= 0) & (np.asarray(values["mean"]) <= 1))
    assert np.all(np.asarray(values["variance"]) >= 0)
    assert np.all(np.asarray(values["variance"]) <= 1 / 12 + 1e-6)
    drawn = np.asarray(likelihood.sample(np.repeat(logits, 50, axis=1), seed=1))
    assert ((drawn >= 0) & (drawn <= 1)).all()


@pytest.mark.parametrize("logit", [1e-9, 1e-4, 0.2, 0.49, 0.51, 0.99, 1.01, 3.0, 40.0, 500.0])
def test_the_slope_of_continuous_bernoulli_in_its_logit_is_x_less_the_mean(logit: float) -> None:
    likelihood, x = _likelihood("continuous_bernoulli"), 0.3
    for signed in (logit, -logit):
        at = tf.constant(_pixel(signed))
        with tf.GradientTape() as tape:
            tape.watch(at)
            value = likelihood.log_prob(at, _pixel(x))
        slope = np.asarray(tape.gradient(value, at)).item()
        assert slope == pytest.approx(x - np.asarray(likelihood.mean(at)).item(), abs=2e-6)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("location", "spread"), [(0.5, 0.1), (0.0, 0.05), (1.3, 0.02), (-4, 1.0)])
def test_discretised_logistic_is_a_probability_of_each_level(
    bits: int, location: float, spread: float
) -> None:
    """SciPy's mass of each cell, with open outer cells; the masses sum to 1."""
    intervals = 2**bits - 1
    likelihood = _likelihood("discretised_logistic", "fixed", scale_value=spread, bits=bits)
    levels = np.arange(intervals + 1) / intervals
    x = levels.astype(np.float32).reshape(-1, 1, 1, 1)
    value = np.asarray(likelihood.log_prob(np.full_like(x, location), x), np.float64)
    assert special.logsumexp(value) == pytest.approx(0, abs=2e-4 if bits == 8 else 2e-3)
    oracle = stats.logistic(np.float64(np.float32(location)), spread)
    edges = np.concatenate([[-np.inf], levels[:-1] + 0.5 / intervals, [np.inf]])
    # From the nearer tail, where a difference keeps its digits.
    by_cdf, by_sf = np.diff(oracle.cdf(edges)), -np.diff(oracle.sf(edges))
    expected = np.log(np.where(edges[:-1] < location, by_cdf, by_sf))
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=2e-4)


@settings(deadline=None, max_examples=40)
@given(
    location=st.floats(-1e6, 1e6, width=32),
    raw=st.floats(-1e4, 1e4, width=32),
    level=st.integers(0, 255),
)
def test_discretised_logistic_is_finite_however_far_off(
    location: float, raw: float, level: int
) -> None:
    likelihood = _likelihood("discretised_logistic")
    parameters = tf.constant(_pixel(location, raw))
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        value = likelihood.log_prob(parameters, _pixel(level / 255))
    assert np.isfinite(value).all()
    assert np.asarray(value).item() <= 0
    assert np.isfinite(tape.gradient(value, parameters)).all()
    mean = np.asarray(likelihood.mean(parameters)).item()
    assert np.isfinite(mean)


def test_a_level_in_bits_is_comparable_with_a_code() -> None:
    """With a scale so wide that all inner levels are equal, the two open cells take the rest."""
    likelihood = _likelihood("discretised_logistic", "fixed", scale_value=1e3)
    inner = np.asarray(likelihood.log_prob(_pixel(0.5), _pixel(100 / 255))).item()
    assert inner == pytest.approx(np.log(1 / 255 / 4e3), rel=1e-4)
    edge = np.asarray(likelihood.log_prob(_pixel(0.5), _pixel(1.0))).item()
    assert edge == pytest.approx(np.log(0.5), abs=1e-3)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", sorted(DENSITIES))
def test_samples_are_scipys_distribution(name: str, scale: str) -> None:
    likelihood = _likelihood(name, scale, scale_value=0.3)
    for location, raw in ((-1.0, -5.0), (0.3, 1.5)):
        values = (location, raw)[: likelihood.parameters_per_value]
        drawn = _drawn(likelihood, *values)
        _, spread = _location_and_scale(_pixel(*values), scale, 0.3)
        oracle = DENSITIES[name](location, np.asarray(spread).item())
        assert stats.kstest(drawn, oracle.cdf).pvalue > 1e-3
        _assert_moments(drawn, oracle.mean(), oracle.var())


@pytest.mark.parametrize("logit", [-3.0, 0.0, 1.2])
def test_bernoulli_samples_have_the_declared_moments(logit: float) -> None:
    drawn = _drawn(Bernoulli(), logit, seed=2)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    declared = stats.bernoulli(special.expit(logit))
    _assert_moments(drawn, declared.mean(), declared.var())


@pytest.mark.parametrize("logit", [-300.0, -2.0, -0.3, 1e-9, 0.0, 0.45, 0.55, 6.0])
def test_continuous_bernoulli_samples_are_scipys_distribution(logit: float) -> None:
    likelihood = _likelihood("continuous_bernoulli")
    drawn = _drawn(likelihood, logit)
    if abs(logit) < 1e-6:
        assert stats.kstest(drawn, "uniform").pvalue > 1e-3
    else:
        oracle, mirrored = _tilted(logit)
        assert stats.kstest(mirrored(drawn), oracle.cdf).pvalue > 1e-3
    _assert_moments(
        drawn,
        np.asarray(likelihood.mean(_pixel(logit))).item(),
        np.asarray(likelihood.variance(_pixel(logit))).item(),
    )


@pytest.mark.parametrize(("location", "raw"), [(0.5, -2.5), (0.02, -3.0), (1.1, -1.0)])
def test_discretised_logistic_samples_have_its_probabilities(location: float, raw: float) -> None:
    likelihood = _likelihood("discretised_logistic")
    drawn = _drawn(likelihood, location, raw)
    levels = np.rint(drawn * 255)
    np.testing.assert_allclose(drawn * 255, levels, atol=1e-4)
    x = (np.arange(256) / 255).astype(np.float32).reshape(-1, 1, 1, 1)
    parameters = np.repeat(_pixel(location, raw), 256, axis=0)
    expected = np.exp(np.asarray(likelihood.log_prob(parameters, x), np.float64))
    counts = np.bincount(levels.astype(int), minlength=256)
    often = expected * DRAWS > 10  # as the chi-squared approximation requires
    observed = np.append(counts[often], counts[~often].sum())
    wanted = np.append(expected[often], expected[~often].sum()) / expected.sum() * DRAWS
    kept = wanted > 0
    assert stats.chisquare(observed[kept], wanted[kept]).pvalue > 1e-3
    # The declared mean is that of the levels; the variance that before clipping and rounding.
    mean = np.asarray(likelihood.mean(_pixel(location, raw))).item()
    assert abs(drawn.mean() - mean) < 5 * drawn.std() / np.sqrt(DRAWS) + 1e-4
    spread = 0.01 + _softplus(np.float64(raw))
    declared = np.asarray(likelihood.variance(_pixel(location, raw))).item()
    assert declared == pytest.approx(stats.logistic(location, spread).var(), rel=1e-5)


def test_the_variance_of_a_narrow_discretised_logistic_is_that_of_samples() -> None:
    """Far from the ends, and over many levels, clipping and rounding hardly matter."""
    likelihood = _likelihood("discretised_logistic", "fixed", scale_value=0.03)
    declared = np.asarray(likelihood.variance(_pixel(0.5))).item()
    _assert_moments(_drawn(likelihood, 0.5), 0.5, declared, rtol=2e-3)


@every_scale
def test_samples_follow_their_seed(name: str, scale: str, generator: np.random.Generator) -> None:
    likelihood = _likelihood(name, scale)
    parameters = _parameters(likelihood, generator)
    first = np.asarray(likelihood.sample(parameters, seed=3))
    assert first.shape == SHAPE
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, likelihood.sample(parameters, seed=3))
    assert np.any(first != np.asarray(likelihood.sample(parameters, seed=4)))


@every_scale
def test_any_leading_axes_and_any_sides(
    name: str, scale: str, generator: np.random.Generator
) -> None:
    likelihood = _likelihood(name, scale)
    for shape in (SHAPE, (1, 1, 1, 1), (3, 1, 9, 4)):
        parameters = _parameters(likelihood, generator, (2, *shape))
        x = generator.random(shape, dtype=np.float32)
        value = np.asarray(likelihood.log_prob(parameters, x))
        assert value.shape == (2, shape[0])
        np.testing.assert_allclose(
            value[1], likelihood.log_prob(parameters[1], x), rtol=1e-5, atol=1e-5
        )
        for image in (
            likelihood.mean(parameters),
            likelihood.variance(parameters),
            likelihood.sample(parameters, seed=1),
            likelihood.log_prob_per_value(parameters, x),
        ):
            assert tuple(image.shape) == (2, *shape)
