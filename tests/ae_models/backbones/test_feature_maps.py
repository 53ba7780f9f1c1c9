"""Pixels to maps on one grid."""

from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ae_models.backbones.feature_maps import FeatureMaps
from ae_models.config.configuration import ImageConfig
from ae_models.config.features import FeaturesConfig
from ae_models.errors import ConfigError, InputError
from ae_models.ops.area import area_resized, area_shares, mean_over_places
from tests.support.backbones import nan_backbone, saved_backbone, tiny_backbone, tiny_network

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)


def _maps(folder: Path, image: ImageConfig, **options: object) -> FeatureMaps:
    return FeatureMaps(FeaturesConfig(tiny_backbone(folder), **options), image)  # type: ignore[arg-type]


def test_layers_lie_over_each_other_on_the_coarsest_grid(tmp_path: Path) -> None:
    features = _maps(tmp_path, ImageConfig(16, 16, 3, 8), layers=("first", "second", "pooled"))
    assert (features.shape, features.widths) == ((4, 4, 16), (4, 6, 6))
    found = np.asarray(features(PIXELS))
    first = np.asarray(tiny_network().get_layer("first").output.shape)
    assert first[-1] == 4
    second = np.asarray(tiny_network()(PIXELS.astype(np.float32)))
    np.testing.assert_allclose(found[..., 4:10], second, rtol=1e-5)
    means = np.broadcast_to(second.mean((1, 2), keepdims=True), second.shape)
    np.testing.assert_allclose(found[..., 10:], means, rtol=1e-5)
    one = _maps(tmp_path, ImageConfig(16, 16, 3, 8), layers=("second",), pool=1)
    np.testing.assert_allclose(one(PIXELS), means[:, :1, :1], rtol=1e-5)


@pytest.mark.parametrize(
    ("image", "pixels"),
    [
        (ImageConfig(16, 16, 1, 8), PIXELS[..., :1]),
        (ImageConfig(16, 16, 2, 8), PIXELS[..., [0, 1]]),
        (ImageConfig(16, 16, 4, 8), PIXELS[..., [0, 1, 2, 0]]),
        (ImageConfig(16, 16, 3, 16), PIXELS.astype(np.uint16) * 257),
    ],
)
def test_grey_alpha_and_sixteen_bits_are_brought_to_what_networks_take(
    image: ImageConfig, pixels: np.ndarray, tmp_path: Path
) -> None:
    colour = np.repeat(PIXELS[..., :1], 3, -1) if pixels.shape[-1] < 3 else PIXELS
    expected = _maps(tmp_path, ImageConfig(16, 16, 3, 8))(colour)
    found = _maps(tmp_path, image)(pixels)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_backbone_that_gives_no_numbers_is_named(tmp_path: Path) -> None:
    config = FeaturesConfig(nan_backbone(tmp_path))
    with pytest.raises(InputError, match=r"'nan.keras' returns features that are not finite"):
        FeatureMaps(config, ImageConfig(16, 16, 3, 8)).probe()
    _maps(tmp_path, ImageConfig(16, 16, 3, 8)).probe()


def test_a_saved_model_of_any_size_gives_maps(tmp_path: Path) -> None:
    config = FeaturesConfig(saved_backbone(tmp_path / "saved"))
    features = FeatureMaps(config, ImageConfig(16, 16, 3, 8))
    features.probe()
    assert (features.shape, features.widths) == ((4, 4, 12), (6, 6))
    second = np.asarray(tiny_network()(PIXELS.astype(np.float32)))
    means = np.broadcast_to(second.mean((1, 2), keepdims=True), second.shape)
    expected = np.concatenate([means, second], axis=-1)
    np.testing.assert_allclose(features(PIXELS), expected, rtol=1e-5, atol=1e-6)


def test_more_channels_than_colour_and_alpha_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"accepts grey or colour images, .* Received: images of 6 channels"
    ):
        _maps(tmp_path, ImageConfig(16, 16, 6, 8))


def test_a_network_that_such_images_vanish_in_is_named_in_one_line(tmp_path: Path) -> None:
    image = keras.Input((None, None, 3))
    x = image
    for _ in range(4):
        x = keras.layers.Conv2D(2, 3, strides=2, padding="valid")(x)
    keras.Model(image, x).save(tmp_path / "valid.keras")
    with pytest.raises(InputError, match="cannot be used on images") as caught:
        FeatureMaps(FeaturesConfig(str(tmp_path / "valid.keras")), ImageConfig(16, 16, 3, 8))
    assert "\n" not in str(caught.value)


@given(old=st.integers(1, 12), new=st.integers(1, 12))
def test_areas_keep_means(old: int, new: int) -> None:
    shares = area_shares(old, new)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    np.testing.assert_allclose(shares.mean(axis=0), 1.0 / old)


def test_areas_are_means_of_blocks() -> None:
    x = np.random.default_rng(0).normal(size=(2, 6, 4, 3)).astype(np.float32)
    blocks = x.reshape(2, 3, 2, 2, 2, 3).mean((2, 4))
    np.testing.assert_allclose(area_resized(x, (3, 2)), blocks, rtol=1e-5, atol=1e-6)
    assert area_resized(x, (6, 4)) is x


@pytest.mark.parametrize("channels", [1, 3, 10, 13])
def test_means_are_the_same_bits_wherever_in_the_batch(channels: int) -> None:
    x = np.random.default_rng(0).normal(size=(16, 5, 4, channels)).astype(np.float32)
    means, small = (np.asarray(f) for f in (mean_over_places(x), area_resized(x, (2, 3))))
    np.testing.assert_allclose(means, x.mean((1, 2)), rtol=1e-4, atol=1e-6)
    for place in range(16):
        alone = np.zeros_like(x)
        alone[(place + 7) % 16] = x[place]
        moved = np.asarray(mean_over_places(alone))[(place + 7) % 16]
        np.testing.assert_array_equal(moved, means[place])
        moved = np.asarray(area_resized(alone, (2, 3)))[(place + 7) % 16]
        np.testing.assert_array_equal(moved, small[place])
