"""The plain auto-encoder."""

from collections.abc import Iterator
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from ae_models.config.model import AutoencoderConfig, ModelConfig
from ae_models.models.base import ImageModel
from ae_models.models.inference import Inference
from ae_models.networks import linear_path
from ae_models.ops.principal_components import PrincipalComponents
from ae_models.ops.tensor import Tensor

_MOST_SEEN = 1 << 16


@keras.saving.register_keras_serializable(package="latentbeam")
class Autoencoder(ImageModel):
    """z = encoder(x), x' = decoder(z); trained to bring x' close to x under a chosen loss."""

    config_class: ClassVar[type[ModelConfig]] = AutoencoderConfig
    config: AutoencoderConfig

    def _add_networks(self, seeds: Iterator[int]) -> None:
        super()._add_networks(seeds)
        if self.config.has_linear_path:
            self.encoder = linear_path.encoder_beside(self.encoder)
            self.decoder = linear_path.decoder_beside(self.decoder)

    @property
    def first_seen(self) -> int:
        return _MOST_SEEN if self.config.has_linear_path else 0

    def initialise(self, images: Tensor, targets: Tensor = None) -> None:
        """Initialises a linear path with the principal components of the images."""
        if not self.config.has_linear_path or len(images) < 2:
            return
        images = np.asarray(images)
        found = PrincipalComponents.of(images, self.config.latent_size, self.seed)
        linear_path.start_at(
            self.config.network,
            self.encoder,
            self.decoder,
            **vars(found),
            images=images,
            targets=images if targets is None else np.asarray(targets),
        )

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """The decoder's output, (N, H, W, C): logits if images are its sigmoid."""
        return self.decoder(self.encoder(x, training=training), training=training)

    def training_loss(self, target: Tensor, outputs: Any, training: bool = False) -> Tensor:
        del training
        return self.config.loss_terms(target, self._bounded(outputs), outputs)

    def infer(self, x: Tensor) -> Inference:
        return Inference(
            {
                "latent_mean": lambda _: self.encoder(x, training=False),
                "reconstruction": lambda own: self.decode(own["latent_mean"]),
            }
        )

    def decode(self, latent: Tensor) -> Tensor:
        return self._bounded(self.decoder(latent, training=False))

    def _bounded(self, output: Tensor) -> Tensor:
        return ops.sigmoid(output) if self.config.sigmoid_output else output
