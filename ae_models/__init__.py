"""Auto-encoders of images in Keras, their anomaly scores and their bundles. Knows no Beam.

Imports neither Keras nor TensorFlow before a model is built or loaded.
"""

from ae_models.bundles.bundle import Bundle, open_bundle
from ae_models.bundles.scorer import Scorer
from ae_models.config.configuration import Configuration
from ae_models.models.registry import build_model

__all__ = ["Bundle", "Configuration", "Scorer", "build_model", "open_bundle"]
