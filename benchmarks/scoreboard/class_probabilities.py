"""p(class | record) of MNIST's test images from a VAE's latents, and from logistic regression."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ae_models.latents.classes.metrics import class_metrics, metric_sums
from ae_models.latents.classes.model import ClassModel
from ae_models.models.registry import build_model
from benchmarks.scoreboard.data import Data
from benchmarks.scoreboard.recipes import CLASSES
from benchmarks.scoreboard.rows import Row
from benchmarks.scoreboard.training import FullRange, split, train

TASK = "class probabilities, MNIST test set"
NOTES = {
    TASK: """\
Log loss in nats, expected calibration error (15 bins) and accuracy (both in per cent) for the
classes of the 10,000 test images, from the latents of a VAE that saw no labels. All classifiers are
fitted to the latents of the 60,000 training images; Gaussians to four fifths of them, while the
evidence of the others calibrates the p-values. "Points" ignores the records' posterior variance.
"None" is the percentage of test images with an evidence p-value of at most 0.01, which get no
class: for MNIST it should be 1, for Fashion-MNIST 100. The seconds of the first row include the
VAE's training.
"""
}
_ROWS = 500
_NO_CLASS = 0.01


class _Latents(NamedTuple):
    """Posterior means and standard deviations of images, (N, d) float32 each."""

    mean: np.ndarray
    stddev: np.ndarray


def rows(data: Data) -> Iterator[Row]:
    """The classifiers for each seed of the VAE, one seed after another."""

    @functools.lru_cache(maxsize=1)
    def latents(seed: int) -> dict[str, _Latents]:
        return _latents(data, seed)

    for seed in range(CLASSES.seeds):
        for name, components, points in (
            ("one Gaussian a class", 1, False),
            ("one Gaussian a class, points", 1, True),
            ("3 Gaussians a class", 3, False),
            ("5 Gaussians a class", 5, False),
            ("5 Gaussians a class, points", 5, True),
        ):
            measure = _Measure(data, latents, seed, components, points)
            yield Row(TASK, name, "test set", seed, CLASSES.settings, measure)
        regression = _MeasureRegression(data, latents, seed)
        yield Row(TASK, "logistic regression", "test set", seed, CLASSES.settings, regression)


def _latents(data: Data, seed: int) -> dict[str, _Latents]:
    """The latents of all training and test images, from a VAE with this seed."""
    config, images = CLASSES.seeded(seed), data.mnist["x_train"]
    model = build_model(config.model, images.shape[1:], seed)
    train(model, split(images, seed, held_out=0.05), config.training)
    infer = tf.function(lambda x: [model.infer(x)[f"latent_{name}"] for name in _Latents._fields])

    def of(pixels: np.ndarray) -> _Latents:
        parts = [infer(FullRange()(pixels[i : i + _ROWS])) for i in range(0, len(pixels), _ROWS)]
        return _Latents(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    return {
        "train": of(images),
        "test": of(data.mnist["x_test"]),
        "other": of(data.fashion["x_test"]),
    }


def _figures(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    found = class_metrics(metric_sums(probabilities, truth))
    return {
        "log loss": found["log_loss"],
        "ECE": 100 * found["expected_calibration_error"],
        "accuracy": 100 * found["accuracy"],
    }


@dataclasses.dataclass(frozen=True)
class _Measure:
    data: Data
    latents: Callable[[int], dict[str, _Latents]]
    seed: int
    components: int
    points: bool

    def __call__(self) -> Mapping[str, float]:
        latents = {
            name: (found.mean, None if self.points else found.stddev)
            for name, found in self.latents(self.seed).items()
        }
        labels = [str(label) for label in self.data.mnist["y_train"]]
        model = ClassModel.fit(
            *latents["train"], labels, components=self.components, seed=self.seed
        )
        known, other = (model.posterior(*latents[name]) for name in ("test", "other"))
        shares = {
            f"none, {name}": 100 * float(np.mean(model.p_values(found.log_evidence) <= _NO_CLASS))
            for name, found in (("MNIST", known), ("Fashion-MNIST", other))
        }
        return _figures(known.probabilities, self.data.mnist["y_test"]) | shares


@dataclasses.dataclass(frozen=True)
class _MeasureRegression:
    data: Data
    latents: Callable[[int], dict[str, _Latents]]
    seed: int

    def __call__(self) -> Mapping[str, float]:
        latents = self.latents(self.seed)
        regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        regression.fit(latents["train"].mean, self.data.mnist["y_train"])
        probabilities = regression.predict_proba(latents["test"].mean)
        return _figures(probabilities, self.data.mnist["y_test"])
