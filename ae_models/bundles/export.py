"""The SavedModel that scores raw pixels, and the proof that its scores equal those of Keras."""

import errno
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ae_models.assessment.parity import Agreement, agreements
from ae_models.bundles.keras_archive import save_model
from ae_models.bundles.keras_check import load_keras_model
from ae_models.bundles.manifest import MOST_GRAPH_BYTES
from ae_models.bundles.names import (
    ANOMALY_MAP,
    ERROR_MAP,
    KERAS_MODEL,
    LATENTS,
    SCORE_PREFIX,
    SCORING,
)
from ae_models.config.configuration import ImageConfig
from ae_models.errors import BundleError
from ae_models.maps.anomaly_map import AnomalyMap
from ae_models.models.base import ImageModel
from ae_models.models.inference import Inference
from ae_models.ops.constants import KeptConstants
from ae_models.scores import Score
from ae_models.training.fit_scores import with_scores
from ae_models.training.preprocessing import FeaturePreprocessing, Preprocessing


class ScoringModule(tf.Module):
    """Preprocessing, network and scores as one function of raw pixels."""

    def __init__(
        self,
        preprocessing: Preprocessing | FeaturePreprocessing,
        model: ImageModel,
        scores: Sequence[Score],
        anomaly_map: AnomalyMap | None = None,
    ):
        super().__init__(name="scoring")
        self.preprocessing = preprocessing
        # Only the weights are tracked: a tracked Keras model would be exported in full, including
        # its training graph and random state.
        self.weights = [weight.value for weight in model.weights]
        self._infer = model.infer
        self.scores, self.anomaly_map = tuple(scores), anomaly_map
        self._kept = KeptConstants()
        self.constants: list[tf.Variable] = []

    def score(self, pixels: Any) -> dict[str, Any]:
        """(N, H, W, C) uint8 or uint16 → `latent_mean`, for a VAE `latent_stddev`, (N, d), and
        `score_<name>`, (N,), all float32."""
        with self._kept.used():
            return self._outputs(self._inferred(pixels)[1])

    def score_with_maps(self, pixels: Any) -> dict[str, Any]:
        """Like `score`, with maps: `error_map`, (N, H, W), the squared error of each pixel's
        reconstruction, averaged over its channels, in scaled units (for features, that of each grid
        position, interpolated linearly between centres); and, if the bundle has one,
        `anomaly_map`, (N, h, w)."""
        with self._kept.used():
            x, outputs = self._inferred(pixels)
            error = tf.reduce_mean(tf.square(x - outputs["reconstruction"]), axis=-1)
            frame = tuple(pixels.shape[1:3])
            if error.shape[1:] != frame:
                error = tf.image.resize(error[..., None], frame)[..., 0]
            maps = {} if self.anomaly_map is None else {ANOMALY_MAP: outputs[ANOMALY_MAP]}
            return self._outputs(outputs) | {ERROR_MAP: error} | maps

    def reconstruct(self, pixels: Any) -> dict[str, Any]:
        """(N, H, W, C) uint8 or uint16 → the scaled `input` and `reconstruction`, float32."""
        with self._kept.used():
            x, outputs = self._inferred(pixels)
            return {"input": x, "reconstruction": outputs["reconstruction"]}

    def hold_constants(self) -> None:
        """Holds the large constants of everything that was traced, since a SavedModel stores the
        variables that its module holds."""
        self.constants = self._kept.variables

    def _inferred(self, pixels: Any) -> tuple[Any, Inference]:
        x, more = self.preprocessing.prepared(pixels)
        outputs = self._infer(x) | {**more, "pixels": lambda _: pixels}
        return x, with_scores(outputs, x, self.scores, self.anomaly_map)

    def _outputs(self, outputs: Inference) -> dict[str, Any]:
        latents = [name for name in LATENTS if name in outputs]
        scores = [SCORE_PREFIX + score.name for score in self.scores]
        return {name: outputs[name] for name in (*latents, *scores)}


def export(
    bundle: Path,
    model: ImageModel,
    module: ScoringModule,
    *,
    image: ImageConfig,
    sample: np.ndarray,
) -> list[Agreement]:
    """Writes `model.keras` and `scoring/`, and scores `sample`, (N, H, W, C), through both.

    Args:
      bundle: the folder.
      model: the one that `module` scores with.

    Returns:
      How closely the outputs of the two agree.

    Raises:
      BundleError: the graph exceeds the size limit for opening.
    """
    save_model(model, bundle / KERAS_MODEL)
    save_graph(bundle / SCORING, module, image)
    saved = tf.saved_model.load(str(bundle / SCORING))
    by_saved_model = saved.signatures["score"](pixels=tf.constant(sample))
    reloaded = load_keras_model(bundle / KERAS_MODEL)
    again = ScoringModule(module.preprocessing, reloaded, module.scores, module.anomaly_map)
    by_keras = again.score(sample)
    return agreements(_arrays(by_keras), _arrays(by_saved_model), module.scores)


def save_graph(folder: Path, module: ScoringModule, image: ImageConfig) -> None:
    """Writes the SavedModel that scores raw pixels.

    Raises:
      BundleError: the graph exceeds the size limit for opening.
      OSError: it cannot be written.
    """
    spec = tf.TensorSpec((None, *image.shape), image.dtype, name="pixels")
    signatures = {
        function.__name__: tf.function(function, autograph=False).get_concrete_function(spec)
        for function in (module.score, module.score_with_maps, module.reconstruct)
    }
    module.hold_constants()
    try:
        tf.saved_model.save(module, str(folder), signatures=signatures)
    except tf.errors.OpError as error:  # how TensorFlow reports a full disk
        raise OSError(errno.EIO, error.message) from error
    size = (folder / "saved_model.pb").stat().st_size
    if size > MOST_GRAPH_BYTES:
        raise BundleError(
            f"the scoring graph takes {size:,} bytes, more than the limit of "
            f"{MOST_GRAPH_BYTES:,}: set a smaller image.height or image.width than {image.height} "
            f"x {image.width}, a smaller model.latent_dim, or fewer scoring.scores"
        )


def _arrays(outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in outputs.items()}
