"""The SavedModel that scores raw pixels, and the proof that it scores as Keras does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ae_models.bundles.keras_check import load_keras_model
from ae_models.bundles.names import ERROR_MAP, KERAS_MODEL, LATENTS, SCORE_PREFIX, SCORING
from ae_models.config.configuration import ImageConfig
from ae_models.errors import BundleError
from ae_models.models.base import ImageModel
from ae_models.models.inference import Inference
from ae_models.scores import Score
from ae_models.training.preprocessing import Preprocessing

_LATENT_PARITY = 1e-5


class ScoringModule(tf.Module):
    """Preprocessing, network and scores as one function of raw pixels."""

    def __init__(self, preprocessing: Preprocessing, model: ImageModel, scores: Sequence[Score]):
        super().__init__(name="scoring")
        self.preprocessing = preprocessing
        # The weights alone are tracked: a tracked Keras model would be exported as a whole, its
        # training graph and random state included.
        self.weights = [weight.value for weight in model.weights]
        self._infer = model.infer
        self._scores = tuple(scores)

    def score(self, pixels: Any) -> dict[str, Any]:
        """(N, H, W, C) uint8 or uint16 → `latent_mean`, for a VAE `latent_stddev`, (N, d), and
        `score_<name>`, (N,), all float32."""
        return self._scored(*self._inferred(pixels))

    def score_with_maps(self, pixels: Any) -> dict[str, Any]:
        """`score`, and `error_map`, (N, H, W): the squared error of each pixel's reconstruction,
        averaged over its channels, in scaled units."""
        x, outputs = self._inferred(pixels)
        error = tf.reduce_mean(tf.square(x - outputs["reconstruction"]), axis=-1)
        return self._scored(x, outputs) | {ERROR_MAP: error}

    def reconstruct(self, pixels: Any) -> dict[str, Any]:
        """(N, H, W, C) uint8 or uint16 → the scaled `input` and `reconstruction`, float32."""
        x, outputs = self._inferred(pixels)
        return {"input": x, "reconstruction": outputs["reconstruction"]}

    def _inferred(self, pixels: Any) -> tuple[Any, Inference]:
        x = self.preprocessing(pixels)
        return x, self._infer(x) | {"pixels": lambda _: pixels}

    def _scored(self, x: Any, outputs: Inference) -> dict[str, Any]:
        latents = {name: outputs[name] for name in LATENTS if name in outputs}
        return latents | {SCORE_PREFIX + score.name: score(x, outputs) for score in self._scores}


def export(
    bundle: Path,
    *,
    image: ImageConfig,
    preprocessing: Preprocessing,
    model: ImageModel,
    scores: Sequence[Score],
    sample: np.ndarray,
) -> None:
    """Writes `model.keras` and `scoring/`, and scores `sample`, (N, H, W, C), through both.

    Raises:
      BundleError: an output differs by more than 1e-5, relative, or than the score allows.
    """
    model.save(bundle / KERAS_MODEL)
    module = ScoringModule(preprocessing, model, scores)
    spec = tf.TensorSpec((None, *image.shape), image.dtype, name="pixels")
    signatures = {
        function.__name__: tf.function(function).get_concrete_function(spec)
        for function in (module.score, module.score_with_maps, module.reconstruct)
    }
    tf.saved_model.save(module, str(bundle / SCORING), signatures=signatures)
    saved = tf.saved_model.load(str(bundle / SCORING))
    by_saved_model = saved.signatures["score"](pixels=tf.constant(sample))
    reloaded = load_keras_model(bundle / KERAS_MODEL)
    by_keras = ScoringModule(preprocessing, reloaded, scores).score(sample)
    most = {SCORE_PREFIX + score.name: score.parity for score in scores}
    for name, value in by_keras.items():
        difference = relative_difference(np.asarray(value), np.asarray(by_saved_model[name]))
        if not difference <= most.get(name, _LATENT_PARITY):
            raise BundleError(
                f"{name} differs between Keras and the SavedModel by {difference:.1e} relative, "
                f"more than {most.get(name, _LATENT_PARITY):.0e}"
            )


def relative_difference(expected: np.ndarray, actual: np.ndarray) -> float:
    """The greatest difference over the records, (N,) or (N, d), as a share of the record's own
    magnitude or, for one close to zero, of the mean magnitude."""
    rows = len(expected)
    difference = np.abs(expected - actual).reshape(rows, -1).max(axis=1)
    magnitude = np.abs(expected).reshape(rows, -1).max(axis=1)
    return float(np.max(difference / np.maximum(magnitude, max(magnitude.mean(), 1e-30))))
