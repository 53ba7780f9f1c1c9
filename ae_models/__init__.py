"""Auto-encoders of images in Keras, their anomaly scores and their bundles. Knows no Beam."""

from ae_models.autoencoder import Autoencoder
from ae_models.denoising import DenoisingAutoencoder
from ae_models.variational import VariationalAutoencoder

__all__ = ["Autoencoder", "DenoisingAutoencoder", "VariationalAutoencoder"]
