"""Scoring raw pixels with a bundle."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from ae_models.bundle import SCORING
from ae_models.config import Configuration
from ae_models.errors import BundleError
from ae_models.export import SCORE_PREFIX
from ae_models.scores import primary_score

# While one call's operations wait for each other, another's have the cores: with 256 rows of a
# small network, three calls at once take two thirds of the time of one after another.
_CALLS_AT_ONCE = 3


class Scorer:
    """A bundle's SavedModel, held in memory.

    Every batch is padded to one fixed shape, so that a record's scores are the same bits whatever
    batch it came in.

    Args:
      path: the bundle's folder, which the caller has checked (`open_bundle`) or just written.
      config: the bundle's configuration.

    Raises:
      BundleError: the SavedModel cannot be loaded.
    """

    def __init__(self, path: Path, config: Configuration):
        self.image = config.image
        self.batch_rows = config.scoring.rows_for(config.image)
        self._pool = ThreadPoolExecutor(_CALLS_AT_ONCE, "scorer")
        self.primary = SCORE_PREFIX + primary_score(config)
        try:
            self._model = tf.saved_model.load(str(path / SCORING))
            self._signatures = dict(self._model.signatures)
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise BundleError(f"{path}: cannot load {SCORING}: {error}") from error

    def score(self, pixels: np.ndarray, error_maps: bool = False) -> dict[str, np.ndarray]:
        """Scores (N, H, W, C) raw pixels.

        Returns:
          `latent_mean`, for a VAE `latent_stddev`, (N, d), `score_<name>` and `score`, the primary
          one, (N,), and on request `error_map`, (N, H, W): all float32.
        """
        outputs = self._run("score_with_maps" if error_maps else "score", pixels)
        return outputs | {"score": outputs[self.primary]}

    def reconstruct(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """The scaled `input` of (N, H, W, C) raw pixels, and its `reconstruction`."""
        return self._run("reconstruct", pixels)

    def _run(self, signature: str, pixels: np.ndarray) -> dict[str, np.ndarray]:
        self._check(pixels)
        function, rows = self._signatures[signature], self.batch_rows

        def outputs_from(start: int) -> dict[str, np.ndarray]:
            part = pixels[start : start + rows]
            outputs = function(pixels=tf.constant(_padded(part, rows)))
            return {name: value.numpy()[: len(part)] for name, value in outputs.items()}

        # An empty input still takes one padded batch, for the names and shapes of the outputs.
        parts = list(self._pool.map(outputs_from, range(0, max(1, len(pixels)), rows)))
        return {name: np.concatenate([part[name] for part in parts]) for name in sorted(parts[0])}

    def _check(self, pixels: np.ndarray) -> None:
        if pixels.shape[1:] != self.image.shape or pixels.dtype != self.image.dtype:
            raise ValueError(
                f"pixels must be (N, {', '.join(map(str, self.image.shape))}) {self.image.dtype}. "
                f"Received: {pixels.shape} {pixels.dtype}"
            )


def _padded(pixels: np.ndarray, rows: int) -> np.ndarray:
    if len(pixels) == rows:
        return pixels
    result = np.zeros((rows, *pixels.shape[1:]), pixels.dtype)
    result[: len(pixels)] = pixels
    return result
