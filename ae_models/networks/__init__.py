"""Encoder and decoder networks, one architecture per file, for any (H, W, C).

Each architecture provides `default_widths(image_shape)`, `encoder(image_shape, widths, outputs,
activation, seeds)` and `decoder(image_shape, widths, latent_dim, channels, activation, seeds)`:
Keras models from (N, H, W, C) to (N, outputs) and from (N, latent_dim) to (N, H, W, channels),
both float32. `start_at(decoder, image)` sets the bias of the decoder's last layer, which is named
`LAST_LAYER`.
"""

from types import ModuleType

from ae_models.config.family import Family

NETWORKS: Family[ModuleType] = Family(
    {
        "dense": "ae_models.networks.dense",
        "convolutional": "ae_models.networks.convolutional",
        "residual": "ae_models.networks.residual",
    }
)
# `glu` is the gated linear unit, with twice the units: a · sigmoid(b) (Dauphin et al. 2017).
ACTIVATIONS = ("relu", "elu", "gelu", "silu", "tanh", "glu")
