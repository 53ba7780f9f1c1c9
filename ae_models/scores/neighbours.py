"""The distance of a record's latent to the nearest training latents."""

from typing import ClassVar

import numpy as np
from keras import ops

from ae_models.ops.area import mean_over_places
from ae_models.ops.constants import constant
from ae_models.ops.tensor import Tensor
from ae_models.scores.feature_score import FeatureScore
from ae_models.scores.score import Outputs, Score
from ae_models.scores.whitening import Whitening

_NEIGHBOURS = 5
_CANDIDATES = 16  # whose distances are computed exactly
CORE_SET = 4096  # stored in the bundle; the first training records are a random sample


class LatentNeighbours(Score):
    """Mean Euclidean distance to the 5 nearest of a core-set of up to 4,096 training latents, all
    whitened by the training latents' shrunk covariance."""

    name = "latent_knn"
    resolution = 1e-5  # whitened units
    parity = 1e-4  # a small difference of latents is a difference of nearly equal numbers
    core_set: ClassVar[int] = CORE_SET

    def __init__(self) -> None:
        self._whitening: Whitening | None = None
        self._core: np.ndarray | None = None

    def features(self, x: Tensor, outputs: Outputs) -> Tensor:
        del x
        return outputs["latent_mean"]

    def fit(self, features: np.ndarray) -> None:
        self._whitening = Whitening(features)
        self._core = np.asarray(self._whitening(features[: self.core_set]))

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        return self.distance(self.features(x, outputs))

    def distance(self, latents: Tensor) -> Tensor:
        """(N, d) → (N,)."""
        if self._whitening is None or self._core is None:
            raise ValueError(f"{self.name} is not fitted")
        white = self._whitening(latents)
        core = constant(self._core)
        # In |a − b|² = |a|² + |b|² − 2a·b, |a|² is the same for all b: no (N, core-set, d) array
        squares = np.sum(np.square(self._core), axis=-1)
        closeness = 2.0 * ops.matmul(white, constant(self._core.T)) - constant(squares)
        candidates = min(_CANDIDATES, len(self._core))
        found = ops.take(core, ops.top_k(closeness, candidates)[1], axis=0)  # (N, candidates, d)
        # For a record in the core-set, or a copy of one, the expression above is only rounding.
        distances = ops.norm(white[:, None] - found, axis=-1)
        nearest = -ops.top_k(-distances, min(_NEIGHBOURS, candidates))[0]
        return ops.mean(nearest, axis=-1)


class FeatureNeighbours(LatentNeighbours, FeatureScore):
    """Mean Euclidean distance to the 5 nearest of a core-set of up to 1,024 training records, of
    features averaged over all places and whitened by the training records' shrunk covariance."""

    name = "feature_knn"
    by_default = False  # its core-set takes megabytes
    core_set = 1024  # each with many features

    def features(self, x: Tensor, outputs: Outputs) -> Tensor:
        del outputs
        return mean_over_places(x)
