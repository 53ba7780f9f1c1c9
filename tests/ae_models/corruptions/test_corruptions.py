"""Corruptions against NumPy, SciPy and Pillow; the meaning and the errors of expressions."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage, stats

from ae_models.config.steps import Step
from ae_models.corruptions.composition import Composition, build_corruption
from ae_models.corruptions.expression import parse_corruption
from ae_models.corruptions.families import CORRUPTIONS, FACTS
from ae_models.ops.seeds import layer_seeds

SQUARE = (8, 8, 3)
every_family = pytest.mark.parametrize("name", sorted(CORRUPTIONS))
STOCHASTIC = sorted({*CORRUPTIONS} - {"blur", "greyscale", "clip"})


def _layer(text: str, seed: int = 0) -> Composition:
    return build_corruption(parse_corruption(text), layer_seeds(seed))


def _images(count: int, shape: tuple[int, int, int] = SQUARE) -> np.ndarray:
    """Colourful images without any value that a corruption writes."""
    return 0.1 + 0.8 * np.random.default_rng(7).random((count, *shape), dtype=np.float32)


def _shape(name: str) -> tuple[int, int, int]:
    """The shape of images with enough channels for draws to differ."""
    return (8, 8, 32) if name == "channel_masking" else SQUARE


def _trained_on(text: str, x: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.asarray(_layer(text, seed)(x, training=True))


def _views(text: str, x: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    return [np.asarray(view(x)) for view in _layer(text, seed).views(x.shape[1:])]


@every_family
def test_acts_in_training_only_and_leaves_its_input_alone(name: str) -> None:
    x = 2.0 * _images(40)
    given = x.copy()
    layer = _layer(name)
    np.testing.assert_array_equal(layer(x), given)
    np.testing.assert_array_equal(layer(x, training=False), given)
    assert np.any(np.asarray(layer(x, training=True)) != given)
    np.testing.assert_array_equal(x, given)


@every_family
def test_a_graph_that_does_not_know_its_batch_keeps_the_shape(name: str) -> None:
    layer, x = _layer(name), _images(5, (7, 5, 3))
    signature = [tf.TensorSpec((None, 7, 5, 3))]
    corrupt = tf.function(lambda x: layer(x, training=True), input_signature=signature)
    assert corrupt.get_concrete_function().output_shapes[1:] == (7, 5, 3)
    assert corrupt(x).shape == x.shape
    assert corrupt(x).dtype == tf.float32


@pytest.mark.parametrize("name", STOCHASTIC)
def test_the_seed_decides_and_each_record_and_call_has_draws_of_its_own(name: str) -> None:
    x = np.repeat(_images(1, _shape(name)), 32, axis=0)
    layer = _layer(name, 3)
    first, second = (np.asarray(layer(x, training=True)) for _ in range(2))
    np.testing.assert_array_equal(_trained_on(name, x, 3), first)
    assert np.any(first != second)
    assert np.any(_trained_on(name, x, 4) != first)
    assert len(np.unique(first.reshape(32, -1), axis=0)) >= (4 if name == "rotation" else 20)


@every_family
def test_views_are_the_same_for_every_record_and_at_every_call(name: str) -> None:
    x = _images(6, _shape(name))
    views = _views(name, x, 3)
    assert 1 <= len(views) <= FACTS[name].most_views
    for again, alone, view in zip(_views(name, x, 3), _views(name, x[4:5], 3), views, strict=True):
        np.testing.assert_array_equal(again, view)
        # On some processors, a convolution rounds differently for another batch size.
        np.testing.assert_allclose(alone, view[4:5], rtol=0, atol=1e-6 if name == "blur" else 0)
    for one, other in itertools.combinations(views, 2):
        assert np.any(one != other)
    if name in STOCHASTIC and name != "rotation":
        assert np.any(np.stack(_views(name, x, 4)) != np.stack(views))


def test_rotation_has_the_turns_of_numpy_with_equal_odds() -> None:
    x = _images(2000)
    turned = _trained_on("rotation", x)
    turns = np.stack([np.rot90(x, k, axes=(1, 2)) for k in range(4)])
    which = (turns == turned).all(axis=(2, 3, 4))
    np.testing.assert_array_equal(which.sum(axis=0), 1)
    assert stats.chisquare(which.sum(axis=1)).pvalue > 1e-3
    np.testing.assert_array_equal(np.stack(_views("rotation", x[:3])), turns[:, :3])


def test_rotation_of_what_is_not_square_keeps_the_shape() -> None:
    x = _images(400, (5, 8, 1))
    turned = _trained_on("rotation", x)
    upside_down = (turned == np.rot90(x, 2, axes=(1, 2))).all(axis=(1, 2, 3))
    upright = (turned == x).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(upright, ~upside_down)
    assert stats.binomtest(int(upright.sum()), 400).pvalue > 1e-3
    assert len(_views("rotation", x)) == 2


@pytest.mark.parametrize("sigma", [0.05, 0.3, 2.0])
def test_gaussian_noise_has_the_deviation_asked_for(sigma: float) -> None:
    noise = _trained_on(f"gaussian_noise:{sigma}", np.full((200, 10, 10, 2), 0.5, np.float32)) - 0.5
    assert stats.kstest(noise.ravel()[::7], stats.norm(0, sigma).cdf).pvalue > 1e-3
    assert np.isclose(noise.std(), sigma, rtol=0.02)


def test_random_gaussian_noise_has_deviations_that_are_uniform_over_the_records() -> None:
    noise = _trained_on("random_gaussian_noise:0.5", np.zeros((1500, 20, 20, 2), np.float32))
    deviations = noise.std(axis=(1, 2, 3))
    assert stats.kstest(deviations, stats.uniform(0, 0.5).cdf).pvalue > 1e-3
    standard = (noise / deviations[:, None, None, None]).ravel()[::397]
    assert stats.kstest(standard, stats.norm.cdf).pvalue > 1e-3


def test_clip_after_noise_keeps_what_a_file_can_hold() -> None:
    x = _images(20)
    noisy, clipped = (_trained_on(f"gaussian_noise:0.5{more}", x) for more in ("", "+clip"))
    assert noisy.min() < 0 < 1 < noisy.max()
    np.testing.assert_array_equal(clipped, np.clip(noisy, 0, 1))


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_masking_blackens_whole_pixels_at_the_share_asked_for(share: float) -> None:
    x = _images(50, (12, 10, 3))
    masked = _trained_on(f"masking:{share}", x)
    black = (masked == 0).all(axis=-1)
    np.testing.assert_array_equal(masked[~black], x[~black])
    assert stats.binomtest(int(black.sum()), black.size, share).pvalue > 1e-3


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_salt_and_pepper_are_equally_many_whole_pixels(share: float) -> None:
    x = _images(50, (12, 10, 3))
    spoilt = _trained_on(f"salt_and_pepper:{share}", x)
    white, black = (spoilt == 1).all(axis=-1), (spoilt == 0).all(axis=-1)
    kept = ~(white | black)
    np.testing.assert_array_equal(spoilt[kept], x[kept])
    for part in (white, black):
        assert stats.binomtest(int(part.sum()), part.size, share / 2).pvalue > 1e-3


@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("shape", [(8, 8, 3), (3, 17, 1), (1, 1, 2)])
def test_blur_is_that_of_scipy(sigma: float, shape: tuple[int, int, int]) -> None:
    x = _images(4, shape)
    expected = ndimage.gaussian_filter(x.astype(np.float64), (0, sigma, sigma, 0))
    np.testing.assert_allclose(_trained_on(f"blur:{sigma}", x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(_views(f"blur:{sigma}", x)[0], expected, rtol=1e-5, atol=1e-6)


def test_greyscale_is_that_of_pillow_and_leaves_alpha() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8)
    grey = np.asarray(Image.fromarray(pixels[..., :3]).convert("L"), np.float64) / 255
    found = _trained_on("greyscale", (pixels / 255).astype(np.float32)[None])[0]
    for channel in range(3):
        np.testing.assert_allclose(found[..., channel], grey, atol=0.51 / 255)
    np.testing.assert_array_equal(found[..., 3], (pixels[..., 3] / 255).astype(np.float32))
    with pytest.raises(ValueError, match=r"3 or 4 channels\. Received: 2"):
        _trained_on("greyscale", _images(1, (4, 4, 2)))


@pytest.mark.parametrize("amount", [1.0, 0.4])
def test_cutout_erases_one_rectangle_of_the_size_and_place_asked_for(amount: float) -> None:
    side, count = 100, 1500
    x = np.ones((count, side, side, 1), np.float32)
    erased = _trained_on(f"cutout:{amount}", x)[..., 0] == 0
    rows, columns = erased.any(axis=2), erased.any(axis=1)
    np.testing.assert_array_equal(erased, rows[:, :, None] & columns[:, None, :])
    for axis in (rows, columns):
        edges = np.abs(np.diff(np.pad(axis, ((0, 0), (1, 1))).astype(int))).sum(axis=1)
        assert set(edges) <= {0, 2}, "one run of pixels, or none at all"
        inside = ~axis[:, 0] & ~axis[:, -1] & (edges == 2)
        if amount == 0.4:  # a rectangle within the border shows its full side
            assert amount * side / 2 - 1 <= axis[inside].sum(axis=1).min()
        assert axis[inside].sum(axis=1).max(initial=0) <= amount * side + 1
        # Both ends of an image are equally likely to be covered.
        hits = [int(axis[:, 0].sum()), int(axis[:, -1].sum())]
        assert stats.binomtest(hits[0], sum(hits)).pvalue > 1e-3
        # P(x in [start, start + s)) = s / (L + s) at any x: the mean over s of U(aL/2, aL).
        share = 1 - 2 / amount * math.log((1 + amount) / (1 + amount / 2))
        assert stats.binomtest(int(axis[:, side // 3].sum()), count, share).pvalue > 1e-3
    assert stats.pearsonr(rows.sum(axis=1), columns.sum(axis=1)).pvalue > 1e-3


def test_steps_act_from_left_to_right() -> None:
    x = _images(200)
    masked_then_blurred = _trained_on("masking:0.3+blur:1", x)
    blurred_then_masked = _trained_on("blur:1+masking:0.3", x)
    assert np.mean(masked_then_blurred == 0) < 0.01
    assert np.isclose(np.mean(blurred_then_masked == 0), 0.3, atol=0.02)


def test_views_of_a_composition_are_the_product_of_those_of_its_steps() -> None:
    x = _images(3)
    grey = _views("greyscale", x)[0]
    turned = [np.rot90(grey, k, axes=(1, 2)) for k in range(4)]
    np.testing.assert_array_equal(_views("greyscale+rotation", x), turned)
    both = _views("rotation+masking:0.5", x)
    assert len(both) == 16
    black = [(view == 0).all(axis=-1) for view in both]
    for turn, draw in itertools.product(range(4), range(4)):
        np.testing.assert_array_equal(black[4 * turn + draw], black[draw])
        kept = ~black[draw]
        expected = np.rot90(x, turn, axes=(1, 2))
        np.testing.assert_array_equal(both[4 * turn + draw][kept], expected[kept])


def test_no_steps_leave_the_image_as_it_is() -> None:
    x = _images(3)
    nothing = Composition([])
    np.testing.assert_array_equal(nothing(x, training=True), x)
    np.testing.assert_array_equal([view(x) for view in nothing.views(SQUARE)], [x])


def test_two_steps_of_one_family_draw_apart() -> None:
    x = _images(50)
    layer = _layer("masking:0.5+masking:0.5")
    assert np.isclose(np.mean(np.asarray(layer(x, training=True)) == 0), 0.75, atol=0.03)
    assert len(layer.views(SQUARE)) == 16


@st.composite
def expressions(draw: Any) -> tuple[str, tuple[Step, ...]]:
    texts, steps, views = [], [], 1
    for name in draw(st.lists(st.sampled_from(sorted(CORRUPTIONS)), min_size=1, max_size=6)):
        views *= FACTS[name].most_views
        if views > 64:
            break
        amounts = FACTS[name].amounts
        amount = draw(st.none() | st.floats(1e-6, 0.999)) if amounts else None
        texts.append(name if amount is None else f" {name} : {amount!r}")
        default = amounts.default if amounts else 0.0
        steps.append(Step(name, default if amount is None else amount))
    return "+".join(texts), tuple(steps)


@settings(deadline=None)
@given(expression=expressions())
def test_an_expression_is_read_as_it_was_written(
    expression: tuple[str, tuple[Step, ...]],
) -> None:
    text, steps = expression
    assert parse_corruption(text) == steps


@every_family
def test_defaults_are_amounts_that_are_allowed(name: str) -> None:
    amounts = FACTS[name].amounts
    assert amounts is None or amounts.allows(amounts.default)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not one of gaussian_noise"),
        ("rain", "'rain' is not one of gaussian_noise, .*rotation"),
        ("masking+", "'' is not one of"),
        ("masking,blur", "'masking,blur' is not one of"),
        ("masking:", "must be a number: 'masking:'"),
        ("masking:few", "must be a number: 'masking:few'"),
        ("blur:nan", "must be a number: 'blur:nan'"),
        ("blur:inf", "must be a number: 'blur:inf'"),
        ("blur:1e9", "between 0 and 100: 'blur:1e9'"),
        ("masking:1", "amount of masking must be between 0 and 1: 'masking:1'"),
        ("blur+masking:0", "between 0 and 1: 'masking:0'"),
        ("gaussian_noise:-1", "gaussian_noise must be greater than 0: 'gaussian_noise:-1'"),
        ("cutout:1.01", "cutout must be greater than 0 and at most 1: 'cutout:1.01'"),
        ("rotation:90", "rotation takes no amount: 'rotation:90'"),
        ("rotation+masking+cutout+gaussian_noise", "256 views, more than 64"),
    ],
)
def test_an_expression_that_cannot_be_read_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_corruption(text)
