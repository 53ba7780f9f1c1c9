"""The distance of a record's latent to the nearest of the training records'."""

import numpy as np
from keras import ops

from ae_models.scores.score import Outputs, Score, Tensor
from ae_models.scores.whitening import Whitening

_NEIGHBOURS = 5
CORE_SET = 4096  # kept in the bundle; the first training records are a random sample of them


class LatentNeighbours(Score):
    """Mean Euclidean distance to the 5 nearest of a core-set of up to 4,096 training latents, all
    whitened by the training latents' shrunk covariance."""

    name = "latent_knn"

    def __init__(self) -> None:
        self._whitening: Whitening | None = None
        self._core: np.ndarray | None = None

    def features(self, x: Tensor, outputs: Outputs) -> Tensor:
        del x
        return outputs["latent_mean"]

    def fit(self, features: np.ndarray) -> None:
        self._whitening = Whitening(features)
        self._core = np.asarray(self._whitening(features[:CORE_SET]))

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        return self.distance(self.features(x, outputs))

    def distance(self, latents: Tensor) -> Tensor:
        """(N, d) → (N,)."""
        if self._whitening is None or self._core is None:
            raise ValueError(f"{self.name} is not fitted")
        white = self._whitening(latents)
        # |a − b|² = |a|² + |b|² − 2a·b: no array of (N, core-set, d)
        squares = np.sum(np.square(self._core), axis=-1)
        products = ops.matmul(white, ops.convert_to_tensor(self._core.T))
        squared = ops.sum(ops.square(white), axis=-1)[:, None] + squares - 2.0 * products
        count = min(_NEIGHBOURS, len(self._core))
        nearest = -ops.top_k(-squared, count, sorted=False)[0]
        return ops.mean(ops.sqrt(ops.maximum(nearest, 0.0)), axis=-1)
