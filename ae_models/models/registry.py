"""The kinds of model by name. Imports Keras on first access."""

from typing import TYPE_CHECKING

from ae_models.config.family import Family
from ae_models.config.model import ModelConfig
from ae_models.config.validated import check_range

if TYPE_CHECKING:
    from ae_models.models.base import ImageModel

MODELS: "Family[type[ImageModel]]" = Family(
    {
        "ae": "ae_models.models.autoencoder:Autoencoder",
        "dae": "ae_models.models.denoising:DenoisingAutoencoder",
        "vae": "ae_models.models.variational:VariationalAutoencoder",
    }
)


def build_model(
    config: ModelConfig, image_shape: tuple[int, int, int], seed: int = 0
) -> "ImageModel":
    """Builds an untrained model of the configured kind for images (H, W, C).

    Raises:
      ConfigError: a side or the channels are less than 1, or the seed is negative.
    """
    height, width, channels = image_shape
    check_range(1, height=height, width=width, channels=channels)
    check_range(0, seed=seed)
    return MODELS[config.kind](config, image_shape, seed)
