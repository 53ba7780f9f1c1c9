"""Image auto-encoders in Keras, their anomaly scores and model bundles. Independent of Beam.

The names listed here are public. Importing them loads neither Keras nor TensorFlow until a model is
built or loaded; the model classes are in `ae_models.models`.
"""

import os

# TensorFlow reads this on import. It leaves oneDNN off on some processors, including those with
# AVX2; the kernels it uses instead round differently per thread count and take twice as long.
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
