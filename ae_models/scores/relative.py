"""Errors of the reconstruction, relative to those of normal records with the same detail."""

import numpy as np
import tensorflow as tf
from keras import ops

from ae_models.ops.constants import constant
from ae_models.ops.tensor import Tensor
from ae_models.scores.score import SMALLEST_ERROR, Outputs, Score
from ae_models.scores.smoothed import smoothed_residual

_PARTS = 7  # per side
_FLOOR = 0.1  # of the mean over all parts, so that a part without errors does not dominate
_SMALLEST_DETAIL = 1e-3  # in scaled units per pixel; flat images are all alike


class ReconstructionRelative(Score):
    """How much greater the log of a record's errors is than its detail explains.

    Errors: the squared smoothed residual of `reconstruction_smoothed`, averaged in each of 7 × 7
    parts of the image, divided by its mean there in the training records; then the mean over the
    parts. Detail: the log of the image's total variation. The expected error of normal images with
    such detail is a least-squares line through the training records, so that a plain wrong shape is
    not hidden behind a detailed correct one. After the complexity correction of likelihoods (Serrà
    et al. 2020).
    """

    name = "reconstruction_relative"
    resolution = 1e-5  # nats
    parity = 1e-4  # a difference of two logarithms

    def __init__(self) -> None:
        self._usual: np.ndarray | None = None
        self._line: np.ndarray = np.zeros(2)

    def features(self, x: Tensor, outputs: Outputs) -> Tensor:
        """(N, k + 1): the errors of the parts, and the detail."""
        return ops.concatenate([_errors_of_parts(x, outputs), _detail(x)[:, None]], axis=-1)

    def fit(self, features: np.ndarray) -> None:
        """Fits the parts' usual errors, then the line."""
        errors, detail = features[:, :-1], features[:, -1].astype(np.float64)
        mean = errors.mean(axis=0, dtype=np.float64)
        self._usual = np.maximum(mean + _FLOOR * mean.mean(), SMALLEST_ERROR)
        known = np.column_stack([detail, np.ones_like(detail)])
        level = np.asarray(self._level(errors), np.float64)
        self._line = np.linalg.lstsq(known, level, rcond=None)[0]

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        slope, intercept = map(float, self._line)
        return self._level(_errors_of_parts(x, outputs)) - slope * _detail(x) - intercept

    def _level(self, errors: Tensor) -> Tensor:
        """(N, k) → (N,): the log of the mean relative error."""
        if self._usual is None:
            raise ValueError(f"{self.name} is not fitted")
        relative = errors / constant(self._usual)
        return ops.log(ops.maximum(ops.mean(relative, axis=-1), SMALLEST_ERROR))


def _errors_of_parts(x: Tensor, outputs: Outputs) -> Tensor:
    """(N, k), k at most 49, row by row."""
    squares = ops.mean(ops.square(smoothed_residual(x, outputs)), axis=-1, keepdims=True)
    part = tuple(-(-side // _PARTS) for side in x.shape[1:3])
    means = ops.average_pool(squares, part, strides=part, padding="same")
    return ops.reshape(means, (-1, means.shape[1] * means.shape[2]))


def _detail(x: Tensor) -> Tensor:
    """(N,): the log of the anisotropic total variation, per value."""
    variation = tf.image.total_variation(tf.convert_to_tensor(x))
    return ops.log(variation / np.prod(x.shape[1:]) + _SMALLEST_DETAIL)
