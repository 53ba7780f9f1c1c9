"""The models of the suite, trained once for one epoch: what they compute costs the same."""

from pathlib import Path

from ae_models.config.configuration import Configuration, ImageConfig, ScoringConfig, TrainingConfig
from ae_models.config.model import AutoencoderConfig, ModelConfig, VariationalConfig
from benchmarks.speed.inputs import make_input
from pipelines.commands.train import train

_SCORES = ScoringConfig(scores=("reconstruction_mse",), primary="reconstruction_mse")
_DENSE = AutoencoderConfig(network="dense", widths=(256, 64), latent_dim=10)
_MODELS: dict[str, tuple[ModelConfig, ImageConfig, str]] = {
    "dense": (_DENSE, ImageConfig(), "npz"),
    "convolutional_vae": (VariationalConfig(), ImageConfig(), "npz"),
    "thumbnails": (_DENSE, ImageConfig(height=64, width=64), "photographs"),
}
_IMAGES = {"npz": 10_000, "photographs": 1_000}


def make_bundle(name: str, folder: Path) -> Path:
    """The bundle of that name in `folder`; trained only where it is not there."""
    path = folder / f"bundle-{name}"
    if not path.exists():
        model, image, kind = _MODELS[name]
        config = Configuration(model, image, training=TrainingConfig(epochs=1), scoring=_SCORES)
        train([str(make_input(kind, _IMAGES[kind], folder))], config, str(path))
    return path
