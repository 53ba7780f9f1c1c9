"""How far the features of places are from the nearest ones anywhere in the training records."""

import dataclasses

import numpy as np
from keras import ops

from ae_models.ops.constants import constant
from ae_models.ops.scale import bounded_scale
from ae_models.ops.tensor import Tensor

_CORE_SET, _MOST_SEEN = 2000, 30_000
_SHRINKAGE = 0.1  # of the mean variance, added to that of each direction
_SMALLEST_VARIANCE = 1e-6  # of features that never vary


@dataclasses.dataclass(frozen=True)
class NearestPlaces:
    """A core-set of places (after PatchCore, Roth et al. 2022), whitened.

    Attributes:
      mean: the features' mean, (C,).
      matrix: from centred features to whitened ones, (C, C).
      core: the core-set, (m, C) int8, in steps of each feature.
      steps: (C,) float32: a 127th of the feature's greatest magnitude in the core-set.
    """

    mean: np.ndarray
    matrix: np.ndarray
    core: np.ndarray
    steps: np.ndarray

    @property
    def points(self) -> np.ndarray:
        """The core-set's whitened features, (m, C) float32."""
        return self.core.astype(np.float32) * self.steps

    @classmethod
    def of(cls, maps: np.ndarray) -> "NearestPlaces":
        """Chooses up to 2,000 of 30,000 places of training records, (N, h, w, C), each as far as
        possible from those chosen before: rare places are included, and frequent ones only once."""
        places = maps.reshape(-1, maps.shape[-1])
        chosen = np.random.default_rng(0).permutation(len(places))[:_MOST_SEEN]
        mean, scale = places.mean(axis=0, dtype=np.float64), bounded_scale(places)
        seen = (places[np.sort(chosen)] - mean) / scale
        variances, directions = np.linalg.eigh(seen.T @ seen / len(seen))
        least = max(_SHRINKAGE * variances.mean(), _SMALLEST_VARIANCE)
        # Rounding may turn a variance of 0 into a negative one.
        shrunk = np.sqrt(np.maximum(variances, 0.0) + least)
        white = (seen @ (directions / shrunk)).astype(np.float32)
        core = farthest_points(white, _CORE_SET)
        greatest = np.abs(core).max(axis=0)
        steps = np.where(greatest > 0, greatest / 127, 1).astype(np.float32)
        matrix = directions / shrunk / scale[:, None]
        return cls(mean, matrix, np.rint(core / steps).astype(np.int8), steps)

    def __call__(self, maps: Tensor) -> Tensor:
        """(N, h, w, C) → (N, h, w): the squared distance to the nearest place, divided by C."""
        _, height, width, channels = maps.shape
        centred = ops.reshape(maps, (-1, channels)) - constant(self.mean)
        white = ops.matmul(centred, constant(self.matrix))
        core = ops.cast(constant(self.core, "int8"), "float32") * constant(self.steps)
        squares = np.sum(np.square(self.points), axis=-1)
        closeness = 2.0 * ops.matmul(white, ops.transpose(core)) - constant(squares)
        # For a place that is in the core-set, |a|² + |b|² − 2a·b would be pure rounding.
        nearest = ops.take(core, ops.top_k(closeness, 1)[1][:, 0], axis=0)
        distances = ops.mean(ops.square(white - nearest), axis=-1)
        return ops.reshape(distances, (-1, height, width))


def farthest_points(points: np.ndarray, count: int) -> np.ndarray:
    """Up to `count` of (n, k) points: the first, then repeatedly one that is farthest from all
    chosen so far (Gonzalez 1985)."""
    squares = np.sum(np.square(points), axis=1)
    distances = np.full(len(points), np.inf, points.dtype)
    taken = [0]
    while len(taken) < min(count, len(points)):
        last = taken[-1]
        away = squares + squares[last] - 2.0 * (points @ points[last])
        distances = np.minimum(distances, away)
        taken.append(int(distances.argmax()))
    return points[taken]
