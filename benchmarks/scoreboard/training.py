"""Training in memory, without Beam, with the model, training and scores of `latentbeam train`."""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from ae_models.bundles.export import ScoringModule
from ae_models.bundles.names import SCORE_PREFIX
from ae_models.config.configuration import Configuration, TrainingConfig
from ae_models.models.base import ImageModel
from ae_models.models.registry import build_model
from ae_models.scores import SCORES, score_names
from ae_models.training.fit import TrainingSummary, fit, initialise
from ae_models.training.fit_scores import fit_to_records
from ae_models.training.image_store import ImageStore
from ae_models.training.preprocessing import Preprocessing

_ROWS = 256


class FullRange(Preprocessing):
    """Scales 8-bit pixels by their full range, like the bundle's graph with that scaling."""

    def __init__(self) -> None:
        tf.Module.__init__(self, name="preprocessing")

    def __call__(self, pixels: Any) -> tf.Tensor:
        """(N, H, W, C) uint8 → float32 between 0 and 1."""
        return tf.cast(pixels, tf.float32) / 255.0


@dataclasses.dataclass(frozen=True)
class Split:
    """The records of one normal class, or of an entire data set: (N, H, W, C) uint8 each."""

    train: np.ndarray
    validation: np.ndarray
    calibration: np.ndarray


def split(images: np.ndarray, seed: int, held_out: float = 0.1) -> Split:
    """Shuffles images, and holds out one share for validation and another for calibration."""
    order = np.random.default_rng(seed).permutation(len(images))
    count = int(held_out * len(images))
    return Split(
        images[order[2 * count :]], images[order[:count]], images[order[count : 2 * count]]
    )


def train(
    model: ImageModel, data: Split, config: TrainingConfig, weights: Any = None
) -> TrainingSummary:
    """Trains `model` as `latentbeam train` does, from files in a temporary folder; starts from
    `weights` if given."""
    with tempfile.TemporaryDirectory() as folder:
        stores = {}
        for name in ("train", "validation"):
            path = Path(folder) / f"{name}.npy"
            np.save(path, getattr(data, name))
            stores[name] = ImageStore(path)
        if weights is None:
            initialise(model, FullRange(), stores["train"])
        else:
            model.set_weights(weights)
        with tqdm(total=config.epochs, unit=" epochs", leave=False, mininterval=5) as bar:

            def report(epoch: int, done: int, steps: int, logs: dict[str, float]) -> None:
                if done == steps and "val_loss" in logs:
                    bar.update(epoch + 1 - bar.n)
                    bar.set_postfix(loss=logs["loss"], validation=logs["val_loss"])

            return fit(
                model,
                FullRange(),
                stores["train"],
                stores["validation"],
                config=config,
                on_progress=report,
            )


def trained_scorer(
    config: Configuration, data: Split
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Trains, fits the scores, and returns a function: raw pixels (N, H, W, C) → scores (N,)."""
    image = dataclasses.replace(
        config.image,
        **dict(zip(("height", "width", "channels"), data.train.shape[1:], strict=True)),
    )
    config = config.with_image(dataclasses.replace(image, bits=8))
    model = build_model(config.model, config.image.shape, config.training.seed)
    train(model, data, config.training)
    scores = [SCORES[name]() for name in score_names(config)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.npy"
        np.save(path, data.train)
        fit_to_records(scores, model, FullRange(), ImageStore(path), _ROWS)
    function = tf.function(
        ScoringModule(FullRange(), model, scores).score,
        input_signature=[tf.TensorSpec((None, *config.image.shape), tf.uint8)],
    )

    def score(images: np.ndarray) -> dict[str, np.ndarray]:
        parts = [function(images[i : i + _ROWS]) for i in range(0, len(images), _ROWS)]
        return {
            name.removeprefix(SCORE_PREFIX): np.concatenate([part[name].numpy() for part in parts])
            for name in parts[0]
            if name.startswith(SCORE_PREFIX)
        }

    return score
