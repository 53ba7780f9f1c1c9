"""A bundle's model between pixels, latents and images, for exploring what it has learned."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from ae_models.bundles.bundle import Bundle
from ae_models.bundles.keras_check import load_keras_model
from ae_models.bundles.names import KERAS_MODEL, TRANSFORM_OUTPUT
from ae_models.config.steps import Step
from ae_models.corruptions.composition import build_corruption
from ae_models.errors import BundleError, ConfigError
from ae_models.models.base import ImageModel
from ae_models.models.variational import VariationalAutoencoder
from ae_models.ops.seeds import layer_seeds
from ae_models.training.preprocessing import Preprocessing


class BundleModel:
    """The Keras model of an opened bundle, with NumPy arrays as input and output.

    Images are returned in pixel levels, (N, H, W, C) float32: 0 to 255 or to 65,535, whatever the
    bundle's scaling. Values outside that range are not clipped.

    Raises:
      ConfigError: the model reconstructs features, from which it cannot make images.
      BundleError: it cannot be loaded.
    """

    def __init__(self, bundle: Bundle):
        self.config = bundle.config
        if self.config.features.is_on:
            raise ConfigError(
                f"{bundle.path} reconstructs features of {self.config.features.backbone} and "
                "cannot decode latents to images: use explore reconstruct to see where records "
                "differ from what it expects"
            )
        try:
            self._model: ImageModel = load_keras_model(bundle.path / KERAS_MODEL)
            self._preprocessing = Preprocessing(bundle.path / TRANSFORM_OUTPUT)
        except Exception as error:  # Keras and TensorFlow raise anything for a meaningless file
            raise BundleError(f"{bundle.path}: cannot load the model: {error}") from error

    @property
    def has_prior(self) -> bool:
        """Whether the model is variational."""
        return isinstance(self._model, VariationalAutoencoder)

    @property
    def range(self) -> tuple[int, int]:
        """The least and the greatest possible level of a pixel."""
        return 0, self.config.image.greatest_level

    def scaled(self, pixels: np.ndarray) -> np.ndarray:
        """Raw pixels scaled for the network, (N, H, W, C) float32."""
        return np.asarray(self._preprocessing(pixels))

    def levels(self, images: Any) -> np.ndarray:
        """Scaled images in pixel levels."""
        return self._preprocessing.levels(images, self.config.image.dtype)

    def latents(self, pixels: np.ndarray) -> np.ndarray:
        """The latents of raw pixels, for a VAE the posterior's mean: (N, d) float32."""
        return self.posteriors(pixels)[0]

    def posteriors(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """The latents of raw pixels, and for a VAE their standard deviations: (N, d) float32."""
        found = self._model.infer(self.scaled(pixels))
        stddev = np.asarray(found["latent_stddev"]) if "latent_stddev" in found else None
        return np.asarray(found["latent_mean"]), stddev

    def decoded(self, latents: np.ndarray) -> np.ndarray:
        """The images decoded from latents, (N, d); for a VAE, the mean of p(x | z)."""
        return self.levels(self._model.decode(latents.astype(np.float32)))

    def corrupted(
        self, pixels: np.ndarray, steps: Sequence[Step], seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Raw pixels corrupted by the given steps as in training, and the model's reconstruction
        of them."""
        corruption = build_corruption(steps, layer_seeds(seed))
        x = corruption(self.scaled(pixels), training=True)
        return self.levels(x), self.levels(self._model.infer(x)["reconstruction"])

    def prior_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean and the standard deviation of a VAE's prior, (d,) float32 each.

        Raises:
          ConfigError: the model is not a VAE.
        """
        mean, stddev = self._variational().prior.moments()
        return np.asarray(mean), np.asarray(stddev)

    def sampled(self, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """For `count` draws of z from a VAE's prior, the mean of p(x | z) and an image drawn from
        it.

        Raises:
          ConfigError: the model is not a VAE.
        """
        model, seeds = self._variational(), keras.random.SeedGenerator(seed)
        z = model.prior.sample(count, seeds)
        return self.levels(model.decode(z)), self.levels(model.draw(z, seeds))

    def _variational(self) -> VariationalAutoencoder:
        if not isinstance(self._model, VariationalAutoencoder):
            raise ConfigError(
                "only a variational model (kind vae) has a prior to draw from. "
                f"Received: a model of kind {self.config.model.kind}"
            )
        return self._model
