"""A linear path in parallel to the networks starts as principal components, and is also trained."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

from ae_models.config.model import AutoencoderConfig, DenoisingConfig, model_config_from_mapping
from ae_models.errors import ConfigError
from ae_models.models.base import ImageModel
from ae_models.models.registry import build_model
from ae_models.networks import NETWORKS
from ae_models.ops.principal_components import PrincipalComponents

SHAPE = (9, 8, 2)


def _images(count: int = 80, seed: int = 0) -> np.ndarray:
    """Images of a few smooth patterns, and noise."""
    generator = np.random.default_rng(seed)
    patterns = np.random.default_rng(99).normal(size=(6, *SHAPE))
    weights = generator.normal(size=(count, 6)) * np.array([5, 4, 3, 2, 1, 0.5])
    images = np.tensordot(weights, patterns, 1) + 0.1 * generator.normal(size=(count, *SHAPE))
    return (0.5 + 0.02 * images).astype(np.float32)


def _model(network: str, **more: Any) -> ImageModel:
    values = {"kind": "ae", "network": network, "widths": [8], "latent_dim": 4, **more}
    return build_model(model_config_from_mapping(values), SHAPE, seed=3)


def _rebuilt(model: ImageModel, images: np.ndarray) -> np.ndarray:
    return np.asarray(model.infer(images)["reconstruction"])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kind", ["ae", "dae"])
def test_before_training_images_are_rebuilt_as_by_scikit_learn(network: str, kind: str) -> None:
    images, others = _images(), _images(20, seed=1)
    model = _model(network, kind=kind)
    model.initialise(images)
    known = PCA(4, random_state=0).fit(images.reshape(len(images), -1))
    flat = others.reshape(len(others), -1)
    expected = known.inverse_transform(known.transform(flat)).reshape(others.shape)
    np.testing.assert_allclose(_rebuilt(model, others), expected, atol=1e-5)


def test_latents_keep_the_distances_of_principal_components() -> None:
    images = _images()
    model = _model("convolutional")
    model.initialise(images)
    codes = PCA(4, random_state=0).fit_transform(images.reshape(len(images), -1))
    latents = np.asarray(model.infer(images)["latent_mean"])
    assert np.sqrt(np.mean(latents**2)) == pytest.approx(1, rel=1e-3)
    scale = np.sqrt(np.mean(codes**2))
    np.testing.assert_allclose(np.abs(latents), np.abs(codes) / scale, atol=1e-3)


def test_targets_are_regressed_on_the_components_of_the_images() -> None:
    images = _images()
    targets = (0.3 + 0.5 * np.roll(images, 3, axis=1)).astype(np.float32)
    model = _model("dense", kind="dae", target="other")
    model.initialise(images, targets)
    flat = images.reshape(len(images), -1)
    codes = PCA(4, random_state=0).fit_transform(flat)
    fitted = LinearRegression().fit(codes, targets.reshape(len(targets), -1))
    expected = fitted.predict(codes).reshape(targets.shape)
    np.testing.assert_allclose(_rebuilt(model, images), expected, atol=1e-5)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_fewer_images_than_latents_leave_the_further_ones_at_zero(count: int) -> None:
    images = _images(count)
    model = _model("convolutional")
    model.initialise(images)
    np.testing.assert_allclose(_rebuilt(model, images), images, atol=1e-4)
    latents = np.asarray(model.infer(images)["latent_mean"])
    assert np.all(latents[:, count - 1 :] == 0)


def test_images_that_are_all_alike_are_rebuilt() -> None:
    images = np.full((10, *SHAPE), 0.25, np.float32)
    model = _model("dense")
    model.initialise(images)
    np.testing.assert_allclose(_rebuilt(model, images), images, atol=1e-6)


@pytest.mark.parametrize("network", NETWORKS)
def test_path_and_networks_are_learned(network: str) -> None:
    images = _images()
    model = _model(network)
    model.initialise(images)
    model.compile(optimizer="adam")
    before = [weight.numpy() for weight in model.trainable_weights]
    model.fit(images, images, batch_size=8, epochs=2, verbose=0)
    # What precedes a last layer of zeros has a gradient once that layer changes.
    for weight, value in zip(model.trainable_weights, before, strict=True):
        assert not np.array_equal(weight.numpy(), value), weight.path


def test_a_model_with_a_path_outlasts_its_file(tmp_path: Path) -> None:
    images = _images()
    model = _model("residual")
    model.initialise(images)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(_rebuilt(loaded, images), _rebuilt(model, images))


def test_a_file_from_before_there_was_a_path_has_none() -> None:
    model = _model("dense", linear_path=False)
    config = model.get_config()
    del config["config"]["linear_path"]
    other = type(model).from_config(config)
    other.set_weights(model.get_weights())
    images = _images(3)
    assert np.array_equal(_rebuilt(other, images), _rebuilt(model, images))


@pytest.mark.parametrize(
    ("config", "path"),
    [
        (AutoencoderConfig(), True),
        (AutoencoderConfig(loss="bce"), False),
        (AutoencoderConfig(output="sigmoid"), False),
        (AutoencoderConfig(linear_path=False), False),
        (DenoisingConfig(loss="mse+mae"), True),
    ],
)
def test_there_is_a_path_where_the_output_is_linear(config: AutoencoderConfig, path: bool) -> None:
    assert config.has_linear_path == path


def test_a_path_to_a_sigmoid_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.linear_path must be false, or null"):
        AutoencoderConfig(loss="bce", linear_path=True)


def test_errors_of_principal_components_are_those_of_scikit_learn() -> None:
    images, others = _images(), _images(20, seed=1)
    known = PCA(3, random_state=0).fit(images.reshape(len(images), -1))
    flat = others.reshape(len(others), -1)
    residual = flat - known.inverse_transform(known.transform(flat))
    found = PrincipalComponents.of(images, 3, seed=0)
    np.testing.assert_allclose(
        found.squared_errors(others), np.mean(residual**2, axis=1), rtol=1e-3, atol=1e-9
    )
    np.testing.assert_allclose(found.codes(others), known.transform(flat), atol=1e-5)
