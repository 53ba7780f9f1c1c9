"""The models of the suite, trained once for one epoch: longer training does not change the cost."""

from pathlib import Path

from ae_models.config.configuration import Configuration, ImageConfig, ScoringConfig, TrainingConfig
from ae_models.config.features import FeaturesConfig
from ae_models.config.model import AutoencoderConfig, VariationalConfig
from benchmarks.speed.inputs import make_input
from pipelines.commands.train import train

_SCORES = ScoringConfig(scores=("reconstruction_mse",), primary="reconstruction_mse")
_DENSE = AutoencoderConfig(network="dense", widths=(256, 64), latent_dim=10)
_TRAINING = TrainingConfig(epochs=1)
_THUMBNAILS = ImageConfig(height=64, width=64)
_MODELS: dict[str, tuple[Configuration, str]] = {
    "dense": (Configuration(_DENSE, training=_TRAINING, scoring=_SCORES), "npz"),
    "convolutional_vae": (
        Configuration(VariationalConfig(), training=_TRAINING, scoring=_SCORES),
        "npz",
    ),
    "thumbnails": (
        Configuration(_DENSE, _THUMBNAILS, training=_TRAINING, scoring=_SCORES),
        "photographs",
    ),
    "features": (
        Configuration(
            AutoencoderConfig(), training=_TRAINING, features=FeaturesConfig("efficientnet_lite0")
        ),
        "snapshots",
    ),
}
_IMAGES = {"npz": 10_000, "photographs": 1_000, "snapshots": 500}


def make_bundle(name: str, folder: Path) -> Path:
    """The bundle of that name in `folder`; trained if it does not exist."""
    path = folder / f"bundle-{name}"
    if not path.exists():
        config, kind = _MODELS[name]
        train([str(make_input(kind, _IMAGES[kind], folder))], config, str(path))
    return path
