"""Negative log-likelihood on MNIST, with a new binarisation each time an image is used."""

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ae_models.config.configuration import TrainingConfig
from ae_models.config.model import VariationalConfig
from ae_models.models.importance_sampling import log_marginal_likelihood
from ae_models.models.registry import build_model
from benchmarks.scoreboard.data import CACHE, Data
from benchmarks.scoreboard.recipes import changed
from benchmarks.scoreboard.rows import Row
from benchmarks.scoreboard.training import Split, train

TASK = "MNIST likelihood"
NOTES = {
    TASK: """\
−log p(x) of the 10,000 test images in nats, by importance sampling with 5,000 samples per image.
Each test image is binarised once, by sampling from its grey levels; training images are resampled
each time, and 2,000 of them are held out. Published values: 86.76 (VAE) and 84.78 (IWAE, k = 50)
by Burda et al. (2016), after 3,280 epochs. Seconds cover only stages that no earlier row or run had
finished.
"""
}
_SAMPLES = 5000
_VALIDATION = 2000


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage of training: changes to the model's configuration, and their duration."""

    model: dict[str, Any]
    epochs: int
    learning_rate: float
    batch: int


# The network of Burda et al. (2016), with one stochastic layer.
_BURDA = VariationalConfig(
    network="dense", widths=(200, 200), activation="tanh", latent_dim=50, noise_samples=2
)
_BURDA_STAGES = (
    Stage({"kl_warmup_epochs": 20}, 240, 3e-3, 256),
    Stage({}, 300, 2e-3, 1024),
)
# Two gated layers, as in Tomczak and Welling (2018).
_GATED = VariationalConfig(
    network="dense",
    widths=(300, 300),
    activation="glu",
    latent_dim=40,
    prior="vamp",
    prior_components=100,
    noise_samples=2,
)
_RUNS: dict[str, tuple[VariationalConfig, tuple[Stage, ...]]] = {
    "Burda's one-layer network, one sample": (_BURDA, _BURDA_STAGES),
    "Burda's one-layer network, IWAE": (
        _BURDA,
        (
            *_BURDA_STAGES,
            Stage({"objective": "iwae", "samples": 5}, 40, 1e-3, 512),
            Stage({"objective": "iwae", "samples": 50}, 10, 5e-4, 256),
        ),
    ),
    "VampPrior, gated layers, IWAE": (
        _GATED,
        (
            Stage({"kl_warmup_epochs": 5}, 60, 0.01, 256),
            Stage({}, 80, 3e-3, 1024),
            Stage({"objective": "iwae", "samples": 5}, 10, 1e-3, 512),
        ),
    ),
}


def rows(data: Data) -> Iterator[Row]:
    """One row per network and objective; only one seed, because each takes long."""
    for name, (config, stages) in _RUNS.items():
        settings = _described(config, stages)
        yield Row(TASK, name, "test set", 0, settings, _Measure(data, config, stages))


def _described(config: VariationalConfig, stages: tuple[Stage, ...]) -> str:
    parts = changed(config)
    for stage in stages:
        settings = "".join(f", {name} {value}" for name, value in stage.model.items())
        rate = f"{stage.learning_rate:g}, batch {stage.batch}"
        parts.append(f"{stage.epochs} epochs at {rate}{settings}")
    return "; ".join([*parts, "muon, cosine"])


@dataclasses.dataclass(frozen=True)
class _Measure:
    data: Data
    config: VariationalConfig
    stages: tuple[Stage, ...]

    def __call__(self) -> Mapping[str, float]:
        images = np.random.default_rng(0).permutation(self.data.mnist["x_train"])
        held_out = images[:_VALIDATION]
        split = Split(images[_VALIDATION:], held_out, held_out)
        weights = None
        for count, stage in enumerate(self.stages, start=1):
            model = build_model(
                dataclasses.replace(self.config, **stage.model), images.shape[1:], 0
            )
            kept = self._kept(count)
            if not kept.exists():
                train(model, split, self._training(stage), weights)
                _save(model.get_weights(), kept)
            weights = _load(kept)
        model.set_weights(weights)
        grey = self.data.mnist["x_test"].astype(np.float32) / 255.0
        drawn = np.random.default_rng(0).random(grey.shape) < grey
        values = log_marginal_likelihood(model, drawn.astype(np.float32), _SAMPLES, seed=0)
        return {"nats": -values.mean(), "standard error": values.std() / np.sqrt(len(values))}

    def _kept(self, stages: int) -> Path:
        """The file of the weights after this many stages: hours of work, stored for later runs and
        for other rows with the same first stages."""
        identity = repr((self.config, self.stages[:stages]))
        return CACHE / "weights" / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.npz"

    def _training(self, stage: Stage) -> TrainingConfig:
        return TrainingConfig(
            epochs=stage.epochs,
            batch_size=stage.batch,
            optimizer="muon",
            learning_rate=stage.learning_rate,
            schedule="cosine",
            patience=stage.epochs,
            binarise=True,
        )


def _save(weights: list[np.ndarray], path: Path) -> None:
    """Writes the file completely, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    with partial.open("wb") as file:
        np.savez(file, *weights)
    partial.rename(path)


def _load(path: Path) -> list[np.ndarray]:
    with np.load(path) as arrays:
        return [arrays[name] for name in arrays.files]
