"""Auto-encoders of images in Keras, their anomaly scores and their bundles. Knows no Beam.

What is named here is public. It imports neither Keras nor TensorFlow before a model is built or
loaded; the models' classes are in `ae_models.models`.
"""

import os

# Read when TensorFlow is imported, which leaves oneDNN off on some processors, those of AVX2 among
# them. The kernels that it then takes round by the number of threads, and need twice the time.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from ae_models.bundles.bundle import Bundle, open_bundle
from ae_models.bundles.scorer import Scorer
from ae_models.config.configuration import (
    Configuration,
    ImageConfig,
    PreprocessingConfig,
    ScoringConfig,
    TrainingConfig,
)
from ae_models.config.model import (
    AutoencoderConfig,
    DenoisingConfig,
    ModelConfig,
    VariationalConfig,
)
from ae_models.errors import (
    BundleError,
    ConfigError,
    InputError,
    JobError,
    LatentbeamError,
    MissingExtraError,
    OutputError,
    StageError,
    TooManyRejectsError,
)
from ae_models.models.registry import build_model

__all__ = [
    "AutoencoderConfig",
    "Bundle",
    "BundleError",
    "ConfigError",
    "Configuration",
    "DenoisingConfig",
    "ImageConfig",
    "InputError",
    "JobError",
    "LatentbeamError",
    "MissingExtraError",
    "ModelConfig",
    "OutputError",
    "PreprocessingConfig",
    "Scorer",
    "ScoringConfig",
    "StageError",
    "TooManyRejectsError",
    "TrainingConfig",
    "VariationalConfig",
    "build_model",
    "open_bundle",
]
