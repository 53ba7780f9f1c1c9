"""The kinds of model by name."""

from ae_models.config.model import ModelConfig
from ae_models.models.autoencoder import Autoencoder
from ae_models.models.base import ImageModel
from ae_models.models.denoising import DenoisingAutoencoder
from ae_models.models.variational import VariationalAutoencoder

MODELS: dict[str, type[ImageModel]] = {
    model.config_class.kind: model
    for model in (Autoencoder, DenoisingAutoencoder, VariationalAutoencoder)
}


def build_model(config: ModelConfig, image_shape: tuple[int, int, int], seed: int) -> ImageModel:
    """An untrained model of the configured kind for images (H, W, C)."""
    return MODELS[config.kind](config, image_shape, seed)
