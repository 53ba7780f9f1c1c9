"""The denoising auto-encoder."""

from collections.abc import Iterator

import keras

from ae_models.autoencoder import Autoencoder
from ae_models.config import DenoisingConfig
from ae_models.corruptions import corruption
from ae_models.image_model import Tensor


@keras.saving.register_keras_serializable(package="latentbeam")
class DenoisingAutoencoder(Autoencoder):
    """Learns to give x back from a corrupted x (Vincent et al. 2008).

    The corruption acts in training only: a record is scored as it is.
    """

    config_class = DenoisingConfig
    config: DenoisingConfig

    def _add_networks(self, seeds: Iterator[int]) -> None:
        super()._add_networks(seeds)
        self.corruption = corruption(self.config.corruption, self.config.corruption_amount, seeds)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        return super().call(self.corruption(x, training=training), training=training)
