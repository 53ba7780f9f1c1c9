"""The kinds of model by name."""

from ae_models.autoencoder import Autoencoder
from ae_models.denoising import DenoisingAutoencoder
from ae_models.image_model import ImageModel
from ae_models.model_config import ModelConfig
from ae_models.variational import VariationalAutoencoder

MODELS: dict[str, type[ImageModel]] = {
    model.config_class.kind: model
    for model in (Autoencoder, DenoisingAutoencoder, VariationalAutoencoder)
}


def build_model(config: ModelConfig, image_shape: tuple[int, int, int], seed: int) -> ImageModel:
    """An untrained model of the configured kind for images (H, W, C)."""
    return MODELS[config.kind](config, image_shape, seed)
