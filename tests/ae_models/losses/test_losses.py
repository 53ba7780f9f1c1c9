"""Losses against scikit-learn, SciPy and TensorFlow; the meaning and the errors of expressions."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal, special
from skimage.metrics import structural_similarity
from sklearn import metrics

from ae_models.config.model import AutoencoderConfig, DenoisingConfig
from ae_models.errors import ConfigError
from ae_models.losses.expression import LOSSES, parse_loss
from ae_models.models.registry import build_model
from ae_models.ops.ssim import structural_dissimilarity

SHAPE = (12, 9, 2)


def _pair(count: int = 6, shape: tuple[int, int, int] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """Images, and logits of other images."""
    generator = np.random.default_rng(3)
    images = generator.random((count, *shape), dtype=np.float32)
    return images, generator.normal(scale=3, size=images.shape).astype(np.float32)


def _ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 1 - np.asarray(structural_dissimilarity(x, y))


def _each(metric: Any, target: np.ndarray, output: np.ndarray) -> list[float]:
    """A scikit-learn metric, record by record."""
    return [metric(t.ravel(), o.ravel()) for t, o in zip(target, output, strict=True)]


def test_squared_and_absolute_errors_are_those_of_scikit_learn() -> None:
    target, output = _pair()
    mse, mae = metrics.mean_squared_error, metrics.mean_absolute_error
    np.testing.assert_allclose(LOSSES["mse"](target, output), _each(mse, target, output), rtol=1e-5)
    np.testing.assert_allclose(LOSSES["mae"](target, output), _each(mae, target, output), rtol=1e-5)


def test_huber_is_that_of_scipy_with_a_tenth_as_delta() -> None:
    target, output = _pair()
    for scale in (1.0, 0.01):  # mostly beyond delta, and mostly within
        near = target + scale * output
        expected = special.huber(0.1, target.astype(np.float64) - near).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(LOSSES["huber"](target, near), expected, rtol=1e-4)


def test_cross_entropy_is_that_of_scikit_learn_and_finite_at_the_extremes() -> None:
    target, logits = _pair()
    black_or_white = (target > 0.5).astype(np.float32)
    expected = _each(metrics.log_loss, black_or_white, special.expit(logits.astype(float)))
    np.testing.assert_allclose(LOSSES["bce"](black_or_white, logits), expected, rtol=1e-5)
    sure = np.where(black_or_white == 1, 500, -500).astype(np.float32)
    np.testing.assert_allclose(LOSSES["bce"](black_or_white, sure), 0, atol=1e-6)
    np.testing.assert_allclose(LOSSES["bce"](1 - black_or_white, sure), 500, rtol=1e-6)


@pytest.mark.parametrize("shape", [(11, 11, 1), (28, 28, 1), (17, 40, 3)], ids=str)
def test_ssim_is_that_of_tensorflow(shape: tuple[int, int, int]) -> None:
    x, noise = _pair(4, shape)
    for y in (x + 0.02 * noise, np.clip(x + 0.2 * noise, 0, 1), 1 - x):
        expected = tf.image.ssim(x, y, 1.0)
        np.testing.assert_allclose(_ssim(x, y), expected, atol=2e-5)


@pytest.mark.parametrize("shape", [(28, 28, 1), (11, 17, 3), (40, 12, 2)])
def test_ssim_is_that_of_scikit_image(
    shape: tuple[int, int, int], generator: np.random.Generator
) -> None:
    x = generator.random((4, *shape), dtype=np.float32)
    y = np.clip(x + generator.normal(scale=0.2, size=x.shape), 0, 1).astype(np.float32)
    expected = [
        structural_similarity(
            one,
            other,
            win_size=11,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=-1,
        )
        for one, other in zip(x.astype(np.float64), y.astype(np.float64), strict=True)
    ]
    np.testing.assert_allclose(_ssim(x, y), expected, atol=2e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 33, 1), (8, 8, 4), (7, 5, 3), (10, 30, 1)])
def test_ssim_of_small_images_is_the_formula_with_a_window_that_fits(
    shape: tuple[int, int, int],
) -> None:
    x, noise = _pair(3, shape)
    y = np.clip(x + 0.2 * noise, 0, 1)
    taps = [min(11, side - 1 + side % 2) for side in shape[:2]]
    window = np.outer(*(signal.windows.gaussian(count, 1.5) for count in taps))
    window = (window / window.sum())[None, :, :, None]
    x64, y64 = x.astype(np.float64), y.astype(np.float64)
    mx, my, mxx, myy, mxy = (
        signal.convolve(values, window, mode="valid", method="direct")
        for values in (x64, y64, x64**2, y64**2, x64 * y64)
    )
    upper = (2 * mx * my + 0.01**2) * (2 * (mxy - mx * my) + 0.03**2)
    lower = (mx**2 + my**2 + 0.01**2) * (mxx - mx**2 + myy - my**2 + 0.03**2)
    expected = (upper / lower).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(_ssim(x, y), expected, atol=2e-5)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**31),
    sides=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    levels=st.integers(1, 4),
)
def test_ssim_is_1_for_the_same_symmetric_and_bounded(
    seed: int, sides: tuple[int, int], levels: int
) -> None:
    generator = np.random.default_rng(seed)
    x, y = generator.integers(0, levels + 1, (2, 3, *sides, 2)).astype(np.float32) / levels
    np.testing.assert_allclose(_ssim(x, x), 1, rtol=1e-5)
    there, back = _ssim(x, y), _ssim(y, x)
    np.testing.assert_allclose(there, back, atol=1e-6)
    assert np.all(np.abs(there) <= 1 + 1e-5)


@pytest.mark.parametrize("error", [1e-3, 1e-5])
def test_ssim_tells_good_reconstructions_apart(error: float) -> None:
    x, noise = _pair(4, (13, 12, 1))
    y = x + error * noise
    ratio = np.asarray(structural_dissimilarity(x, y)) / np.asarray(
        structural_dissimilarity(x, x + 2 * error * noise)
    )
    np.testing.assert_allclose(ratio, 0.25, rtol=0.02)


def test_ssim_rises_as_training_on_it_goes_on() -> None:
    target, start = _pair(2)
    image = keras.Variable(start)
    optimizer = keras.optimizers.Adam(0.1)
    values = []
    for _ in range(60):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(LOSSES["ssim"](target, tf.sigmoid(image.value)))
        optimizer.apply([tape.gradient(loss, image.value)], [image])
        values.append(float(loss))
    assert values[-1] < 0.5 * values[0]


@st.composite
def expressions(draw: Any) -> tuple[str, dict[str, float]]:
    names = draw(st.lists(st.sampled_from(sorted(LOSSES)), min_size=1, unique=True))
    weights = [draw(st.none() | st.floats(1e-3, 1e3)) for _ in names]
    parts = [n if w is None else f" {w!r} * {n}" for n, w in zip(names, weights, strict=True)]
    expected = {n: 1.0 if w is None else w for n, w in zip(names, weights, strict=True)}
    return "+".join(parts), expected


@settings(deadline=None)
@given(expression=expressions())
def test_an_expression_is_read_as_it_was_written(expression: tuple[str, dict[str, float]]) -> None:
    text, weights = expression
    loss = parse_loss(text)
    assert loss.weights == weights
    assert loss.on_logits == ("bce" in weights)


def test_a_weighted_sum_takes_logits_for_cross_entropy_and_images_for_the_rest() -> None:
    target, logits = _pair()
    model = build_model(AutoencoderConfig("dense", 2, (4,), loss="0.5*bce+mae+3*ssim"), SHAPE, 0)
    image = special.expit(logits)
    expected = (
        0.5 * np.asarray(LOSSES["bce"](target, logits))
        + np.asarray(LOSSES["mae"](target, image))
        + 3 * np.asarray(LOSSES["ssim"](target, image))
    )
    np.testing.assert_allclose(model.training_loss(target, logits), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("loss", "output", "sigmoid"),
    [
        ("mse", None, False),
        ("mse", "linear", False),
        ("mse+0.2*ssim", "sigmoid", True),
        ("bce", None, True),
        ("0.5*bce+mae", "sigmoid", True),
    ],
)
def test_the_output_is_that_of_the_loss_or_the_one_chosen(
    loss: str, output: Any, sigmoid: bool
) -> None:
    config = AutoencoderConfig("dense", 2, (4,), loss=loss, output=output)
    assert config.sigmoid_output == sigmoid
    model, (target, _) = build_model(config, SHAPE, 0), _pair()
    raw = np.asarray(model(target))
    image = special.expit(raw) if sigmoid else raw
    np.testing.assert_allclose(model.infer(target)["reconstruction"], image, rtol=1e-5, atol=1e-6)
    expected = parse_loss(loss)(target, image, raw)
    np.testing.assert_allclose(model.training_loss(target, raw), expected, rtol=1e-4)


def test_cross_entropy_has_no_linear_output() -> None:
    for config in (AutoencoderConfig, DenoisingConfig):
        with pytest.raises(ConfigError, match=r"model.output must be sigmoid.* bce .*'linear'"):
            config(loss="mse+bce", output="linear")


def test_a_denoising_model_with_a_sigmoid_and_no_cross_entropy_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"only black images; add bce to the loss.*'sigmoid'"):
        DenoisingConfig(loss="mse", output="sigmoid")
    assert DenoisingConfig(loss="mse+bce", output="sigmoid").sigmoid_output
    assert AutoencoderConfig(loss="mse", output="sigmoid").sigmoid_output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not one of mse, mae, huber, bce, ssim"),
        ("l2", "'l2' is not one of"),
        ("mse+", "'' is not one of"),
        ("mse*2", "'2' is not one of"),
        ("mse+mae+mse", "'mse' is repeated"),
        ("0*mse", "number greater than 0: '0'"),
        ("-1*mse", "number greater than 0: '-1'"),
        ("inf*mse", "number greater than 0: 'inf'"),
        ("*mse", "number greater than 0: ''"),
        ("much*mse", "number greater than 0: 'much'"),
    ],
)
def test_an_expression_that_cannot_be_read_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_loss(text)
