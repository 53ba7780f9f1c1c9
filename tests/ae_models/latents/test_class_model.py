"""p(class | record) by Bayes' rule: against SciPy, scikit-learn, closed forms and Monte Carlo."""

import dataclasses
import io
import re

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp
from sklearn.covariance import LedoitWolf
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.mixture import GaussianMixture

from ae_models.errors import ConfigError, InputError
from ae_models.latents.classes.model import LEAST_RECORDS, ClassModel

Sample = tuple[np.ndarray, np.ndarray, list[str]]


@pytest.fixture
def sample(generator: np.random.Generator) -> Sample:
    """900 latents of three classes in 4 dimensions, with b twice as frequent."""
    labels = [("a", "b", "b", "c")[number % 4] for number in range(900)]
    means = {"a": [0, 0, 0, 0], "b": [3, 0, 1, 0], "c": [0, 3, 0, 2]}
    mixing = generator.normal(size=(4, 4))
    noise = generator.normal(size=(900, 4)) @ mixing * 0.5
    latents = np.array([means[label] for label in labels]) + noise
    stddevs = generator.uniform(0.05, 1, size=(900, 4))
    return latents.astype(np.float32), stddevs.astype(np.float32), labels


def _one_dimensional(mean: float, variance: float, *others: tuple[float, float]) -> ClassModel:
    moments = np.array([(mean, variance), *others])
    count = len(moments)
    return ClassModel(
        tuple("abcdef"[:count]),
        np.full(count, 5),
        np.arange(count),
        np.ones(count),
        moments[:, :1],
        moments[:, 1:, None],
        np.zeros(0, np.float32),
    )


@pytest.mark.parametrize("components", [1, 3])
def test_densities_are_those_of_scipy(sample: Sample, components: int) -> None:
    latents, stddevs, labels = sample
    model = ClassModel.fit(latents, stddevs, labels, components=components)
    found = model.posterior(latents[:50], stddevs[:50])
    joint = np.full((50, 3), -np.inf)
    for owner, weight, mean, covariance in zip(
        model.owners, model.weights, model.means, model.covariances, strict=True
    ):
        prior = np.log(weight * model.counts[owner] / model.counts.sum())
        for row, (point, deviation) in enumerate(zip(latents, stddevs, strict=True)):
            if row == 50:
                break
            density = stats.multivariate_normal(mean, covariance + np.diag(deviation**2.0))
            joint[row, owner] = np.logaddexp(joint[row, owner], prior + density.logpdf(point))
    np.testing.assert_allclose(found.log_evidence, logsumexp(joint, axis=1), rtol=1e-7)
    expected = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-5, atol=1e-12)


def test_points_are_classified_as_by_scikit_learn(sample: Sample) -> None:
    latents, _, labels = sample
    model = ClassModel.fit(latents, None, labels, held_out=0)
    reference = QuadraticDiscriminantAnalysis(solver="eigen", covariance_estimator=LedoitWolf())
    reference.fit(latents.astype(np.float64), labels)
    assert model.classes == tuple(reference.classes_)
    found = model.posterior(latents, np.zeros_like(latents))
    expected = reference.predict_proba(latents.astype(np.float64))
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-4)


def test_a_mixture_is_that_of_scikit_learn(sample: Sample) -> None:
    latents, _, labels = sample
    model = ClassModel.fit(latents, None, labels, components=2, seed=3, held_out=0)
    found = model.posterior(latents, None)
    total = np.zeros(len(latents))
    for name in "abc":
        own = np.array(labels) == name
        # The first records determine how a mixture starts.
        order = np.random.default_rng(3).permutation(len(latents))
        points = latents[order[own[order]]].astype(np.float64)
        ridge = 1e-6 * latents.astype(np.float64).var(axis=0).mean() + np.finfo(np.float32).tiny
        mixture = GaussianMixture(2, reg_covar=ridge, random_state=3, max_iter=200).fit(points)
        total += own.mean() * np.exp(mixture.score_samples(latents.astype(np.float64)))
    np.testing.assert_allclose(found.log_evidence, np.log(total), rtol=1e-8)


def test_in_one_dimension_it_is_the_closed_form() -> None:
    """With equal variances, log odds are linear, ((μ₁ − μ₀) m − (μ₁² − μ₀²) / 2) / (σ² + s²)."""
    model = _one_dimensional(0.0, 1.0, (2.0, 1.0))
    points = np.linspace(-3, 5, 9, dtype=np.float32)[:, None]
    for deviation in (0.0, 0.5, 3.0):
        found = model.posterior(points, np.full_like(points, deviation))
        odds = np.log(found.probabilities[:, 1] / found.probabilities[:, 0])
        np.testing.assert_allclose(odds, (2 * points[:, 0] - 2) / (1 + deviation**2), atol=1e-9)


def test_the_posterior_variance_averages_over_what_a_latent_may_be(
    sample: Sample, generator: np.random.Generator
) -> None:
    latents, stddevs, labels = sample
    model = ClassModel.fit(latents, stddevs, labels, components=2)
    for mean, deviation in zip(latents[:3], stddevs[:3], strict=True):
        drawn = generator.normal(mean, deviation, size=(200_000, 4)).astype(np.float32)
        points = model.posterior(drawn, None)
        joint = np.exp(points.log_evidence)[:, None] * points.probabilities
        found = model.posterior(mean[None], deviation[None])
        standard_error = joint.std(axis=0) / np.sqrt(len(drawn))
        difference = np.exp(found.log_evidence[0]) * found.probabilities[0] - joint.mean(axis=0)
        assert (np.abs(difference) < 4.5 * standard_error + 1e-9).all()


def test_the_less_certain_a_record_the_flatter_its_probabilities(sample: Sample) -> None:
    latents, _, labels = sample
    model = ClassModel.fit(latents, None, labels)
    scales = (0.0, 0.5, 1.0, 2.0, 8.0)
    found = [model.posterior(latents, np.full_like(latents, s)).probabilities for s in scales]
    entropies = [stats.entropy(probabilities, axis=1).mean() for probabilities in found]
    assert (np.diff(entropies) > 0.01).all()
    priors = model.counts / model.counts.sum()
    far = model.posterior(latents, np.full_like(latents, 1e4)).probabilities
    np.testing.assert_allclose(far, np.tile(priors, (len(latents), 1)), atol=1e-5)


def test_a_record_of_no_class_has_little_evidence_however_sure_its_class(sample: Sample) -> None:
    latents, stddevs, labels = sample
    model = ClassModel.fit(latents, stddevs, labels)
    far = np.full((1, 4), 40, np.float32)
    found = model.posterior(far, stddevs[:1])
    assert found.probabilities.max() > 0.99
    assert model.p_values(found.log_evidence)[0] == 1 / (len(model.calibration) + 1)
    usual = model.p_values(model.posterior(latents, stddevs).log_evidence)
    assert np.median(usual) == pytest.approx(0.5, abs=0.1)


def test_evidence_of_new_records_is_calibrated(generator: np.random.Generator) -> None:
    """Within four standard errors of new and of held-out records."""
    labels = np.where(generator.uniform(size=24_000) < 0.3, "a", "b")
    latents = generator.standard_t(4, size=(24_000, 3)) + np.where(labels == "a", 4, 0)[:, None]
    latents = latents.astype(np.float32)
    model = ClassModel.fit(latents[:12_000], None, labels[:12_000].tolist())
    assert len(model.calibration) == 2400
    p_values = model.p_values(model.posterior(latents[12_000:], None).log_evidence)
    for level in (0.01, 0.05, 0.3):
        error = np.sqrt(level * (1 - level) * (1 / 12_000 + 1 / 2400))
        assert np.mean(p_values <= level) == pytest.approx(level, abs=4 * error)


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("uncertain", [False, True])
def test_bits_depend_on_the_record_alone(sample: Sample, components: int, uncertain: bool) -> None:
    latents, stddevs, labels = sample
    model = ClassModel.fit(latents, stddevs, labels, components=components)
    own = stddevs if uncertain else None
    whole = model.posterior(latents, own)
    order = np.random.default_rng(1).permutation(len(latents))
    permuted = model.posterior(latents[order], None if own is None else own[order])
    np.testing.assert_array_equal(permuted.probabilities, whole.probabilities[order])
    np.testing.assert_array_equal(permuted.log_evidence, whole.log_evidence[order])
    for start, size in ((0, 1), (1, 1), (5, 36), (100, 37), (200, 111), (899, 1)):
        part = slice(start, start + size)
        found = model.posterior(latents[part], None if own is None else own[part])
        np.testing.assert_array_equal(found.probabilities, whole.probabilities[part])
        np.testing.assert_array_equal(found.log_evidence, whole.log_evidence[part])


def test_points_are_posteriors_without_variance(sample: Sample) -> None:
    latents, _, labels = sample
    model = ClassModel.fit(latents, None, labels)
    points, zero = model.posterior(latents, None), model.posterior(latents, latents * 0)
    np.testing.assert_allclose(points.probabilities, zero.probabilities, rtol=1e-9)
    assert model.posterior(latents[:0], None).probabilities.shape == (0, 3)


def test_a_latent_that_never_varies_is_no_error(sample: Sample) -> None:
    latents, stddevs, labels = sample
    latents[:, 2] = 7
    for components in (1, 2):
        model = ClassModel.fit(latents, stddevs, labels, components=components)
        assert np.isfinite(model.posterior(latents, stddevs).log_evidence).all()
        assert np.isfinite(model.posterior(latents * 0 + 3e38, None).log_evidence).all()
    alike = ClassModel.fit(latents * 0 + 1, None, labels).posterior(latents[:5] * 0 + 1, None)
    np.testing.assert_allclose(alike.probabilities[0], [0.25, 0.5, 0.25], atol=0.05)


def test_the_same_seed_gives_the_same_model(sample: Sample) -> None:
    first, second, other = (ClassModel.fit(*sample, components=2, seed=n) for n in (4, 4, 5))
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(array, second.arrays()[name])
    assert (first.calibration != other.calibration).any()


def test_it_is_kept_without_pickle(sample: Sample) -> None:
    latents, stddevs, labels = sample
    model = ClassModel.fit(latents, stddevs, labels, components=2)
    file = io.BytesIO()
    np.savez(file, **model.arrays())
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        loaded = ClassModel.from_arrays(arrays)
    assert loaded.classes == ("a", "b", "c")
    for found, expected in zip(
        loaded.posterior(latents, stddevs), model.posterior(latents, stddevs), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(loaded.calibration, model.calibration)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("means", None, "must have an array 'means'"),
        ("means", np.zeros((3, 2)), r"covariances must be \(3, 2, 2\) float64"),
        ("means", np.zeros((3, 4), np.float32), "means must be .* float64. Received: .* float32"),
        ("means", np.full((3, 4), np.nan), "means contains a number that is not finite"),
        (
            "covariances",
            -np.tile(np.eye(4), (3, 1, 1)),
            "covariances contains values that no model has",
        ),
        (
            "covariances",
            np.tile(np.tri(4), (3, 1, 1)),
            "covariances contains values that no model has",
        ),
        ("weights", np.array([1, 0.5, 1]), "weights contains values that no model has"),
        ("weights", np.array([1, 1, -1.0]), "weights contains values that no model has"),
        ("owners", np.array([0, 1, 3]), "owners contains values that no model has"),
        ("owners", np.array([0, 1, 10**15]), "owners contains values that no model has"),
        ("counts", np.array([1, 0, 1]), "counts contains values that no model has"),
        ("counts", np.array([1, 1]), r"counts must be \(3,\) int64"),
        ("classes", np.array(["a", "c", "b"]), "classes contains values that no model has"),
        ("classes", np.array([1, 2, 3]), "classes must be a list of names"),
        (
            "calibration",
            np.array([2, 1], np.float32),
            "calibration contains values that no model has",
        ),
    ],
)
def test_a_model_that_cannot_be_is_refused(
    sample: Sample, name: str, value: np.ndarray | None, message: str
) -> None:
    arrays = ClassModel.fit(*sample).arrays()
    assert ClassModel.from_arrays(arrays).classes == ("a", "b", "c")
    if value is None:
        del arrays[name]
    else:
        arrays[name] = value
    with pytest.raises(InputError, match=message):
        ClassModel.from_arrays(arrays)


def test_what_cannot_be_fitted_is_one_line(sample: Sample) -> None:
    latents, stddevs, labels = sample
    few = [*labels[:-1], "rare\n"]
    message = (
        f"class 'rare\\n' has only 1 records to fit; 1 Gaussian needs at least {LEAST_RECORDS}"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        ClassModel.fit(latents, stddevs, few, held_out=0)
    with pytest.raises(InputError, match=r"class 'c' .*20 Gaussians need at least 200"):
        ClassModel.fit(latents, stddevs, labels, components=20)
    with pytest.raises(ConfigError, match=r"components must be .* at least 1. Received: 0"):
        ClassModel.fit(latents, stddevs, labels, components=0)
    with pytest.raises(InputError, match="no record has a label"):
        ClassModel.fit(latents[:0], None, [])
    with pytest.raises(InputError, match="latent is not finite"):
        ClassModel.fit(latents * np.inf, stddevs, labels)


def test_latents_of_another_model_are_refused(sample: Sample) -> None:
    latents, stddevs, _ = sample
    model = ClassModel.fit(*sample)
    with pytest.raises(InputError, match=r"latents of 4 numbers. Received: \(3,\)"):
        model.posterior(latents[:, :3], None)
    with pytest.raises(InputError, match="latents and latent_stddev must have the same shape"):
        model.posterior(latents, stddevs[:, :3])
    with pytest.raises(InputError, match="negative or not finite"):
        model.posterior(latents, -stddevs)
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.classes = ()  # type: ignore[misc]
