"""The plain auto-encoder."""

from typing import Any, ClassVar

import keras
from keras import ops

from ae_models.config.model import AutoencoderConfig, ModelConfig
from ae_models.models.base import ImageModel
from ae_models.models.inference import Inference
from ae_models.ops.tensor import Tensor


@keras.saving.register_keras_serializable(package="latentbeam")
class Autoencoder(ImageModel):
    """z = encoder(x), x' = decoder(z); trained to bring x' to x under a chosen loss."""

    config_class: ClassVar[type[ModelConfig]] = AutoencoderConfig
    config: AutoencoderConfig

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """The decoder's output, (N, H, W, C): logits where images are its sigmoid."""
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
