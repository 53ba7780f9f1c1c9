"""The denoising auto-encoder."""

from collections.abc import Iterator

import keras
from keras import ops

from ae_models.config.model import DenoisingConfig
from ae_models.corruptions.composition import build_corruption
from ae_models.models.autoencoder import Autoencoder
from ae_models.models.inference import Inference
from ae_models.ops.tensor import Tensor


@keras.saving.register_keras_serializable(package="latentbeam")
class DenoisingAutoencoder(Autoencoder):
    """Learns to recover x from a corrupted x (Vincent et al. 2008), or the target from x if pairs
    are given.

    The corruption acts only in training. A record is scored without corruption, and, for scores
    that need it, as restored from a few fixed views of it. Scores do not use targets: errors
    compare the output with the record itself.
    """

    config_class = DenoisingConfig
    config: DenoisingConfig

    def _add_networks(self, seeds: Iterator[int]) -> None:
        super()._add_networks(seeds)
        self.corruption = build_corruption(self.config.corruption_steps, seeds)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        return super().call(self.corruption(x, training=training), training=training)

    def infer(self, x: Tensor) -> Inference:
        """Adds the V views of the corruption: `views`, (V, N, H, W, C), `view_latents`,
        (V, N, d), and `restorations`, (V, N, H, W, C), computed one view at a time, to hold the
        activations of only one in memory."""
        views = self.corruption.views(self.image_shape)
        return super().infer(x) | {
            "views": lambda _: ops.stack([view(x) for view in views]),
            "view_latents": lambda own: ops.stack(
                [self.encoder(own["views"][index], training=False) for index in range(len(views))]
            ),
            "restorations": lambda own: ops.stack(
                [self.decode(own["view_latents"][index]) for index in range(len(views))]
            ),
        }
