"""Encoder and decoder networks, one architecture a file, for any (H, W, C).

Each architecture gives `default_widths(image_shape)`, `encoder(image_shape, widths, outputs,
activation, seeds)` and `decoder(image_shape, widths, latent_dim, channels, activation, seeds)`:
Keras models from (N, H, W, C) to (N, outputs) and from (N, latent_dim) to (N, H, W, channels),
both float32. `start_at(decoder, image)` sets the bias of the decoder's last layer.
"""

from types import ModuleType

from ae_models.networks import convolutional, dense, residual
from ae_models.networks.layers import ACTIVATIONS
from ae_models.ops.seeds import layer_seeds

NETWORKS: dict[str, ModuleType] = {
    "dense": dense,
    "convolutional": convolutional,
    "residual": residual,
}

__all__ = ["ACTIVATIONS", "NETWORKS", "layer_seeds"]
