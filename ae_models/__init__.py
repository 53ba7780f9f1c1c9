"""Auto-encoders of images in Keras, their anomaly scores and their bundles. Knows no Beam."""

from ae_models.models.autoencoder import Autoencoder
from ae_models.models.denoising import DenoisingAutoencoder
from ae_models.models.variational import VariationalAutoencoder

__all__ = ["Autoencoder", "DenoisingAutoencoder", "VariationalAutoencoder"]
