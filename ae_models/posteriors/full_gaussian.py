"""The Gaussian posterior with a full covariance, given by its Cholesky factor."""

import numpy as np
from keras import ops

from ae_models.ops.constants import constant
from ae_models.ops.tensor import LOG_TWO_PI, Tensor
from ae_models.posteriors.gaussian import GaussianPosterior
from ae_models.posteriors.posterior import MIN_STDDEV


class FullGaussian(GaussianPosterior):
    """q(z | x) = N(z; mean, L·Lᵀ), from d + d·(d + 1)/2 raw outputs: the mean, the diagonal of L,
    and the entries below it, row by row."""

    name = "full_gaussian"
    factorised = False

    @staticmethod
    def outputs(latent_dim: int) -> int:
        return latent_dim + latent_dim * (latent_dim + 1) // 2

    def __init__(self, parameters: Tensor, latent_dim: int):
        d = latent_dim
        self.mean, raw, below = ops.split(parameters, [d, 2 * d], axis=-1)
        self._diagonal = MIN_STDDEV + ops.softplus(raw)
        values = ops.concatenate(
            [self._diagonal, below, ops.zeros_like(parameters[..., :1])], axis=-1
        )
        # (N, d, d), lower triangular
        self.cholesky = ops.reshape(
            ops.take(values, constant(_places(d), "int64"), axis=-1), (-1, d, d)
        )
        self.stddev = ops.sqrt(ops.sum(ops.square(self.cholesky), axis=-1))

    def sample(self, noise: Tensor) -> Tensor:
        return self.mean + ops.squeeze(ops.matmul(self.cholesky, noise[..., None]), axis=-1)

    def log_prob(self, z: Tensor) -> Tensor:
        centred = (z - self.mean)[..., None]
        cholesky = self.cholesky if centred.ndim == 3 else self.cholesky[None]
        white = ops.solve_triangular(cholesky, centred, lower=True)
        distance = ops.sum(ops.square(white), axis=(-2, -1))
        log_determinant = ops.sum(ops.log(self._diagonal), axis=-1)
        return -0.5 * (distance + self.mean.shape[-1] * LOG_TWO_PI) - log_determinant

    def kl_to_standard(self) -> Tensor:
        """½·(tr(L·Lᵀ) + meanᵀ·mean − d − log det(L·Lᵀ))."""
        trace = ops.sum(ops.square(self.cholesky), axis=(-2, -1))
        distance = ops.sum(ops.square(self.mean), axis=-1)
        log_determinant = 2.0 * ops.sum(ops.log(self._diagonal), axis=-1)
        return 0.5 * (trace + distance - self.mean.shape[-1] - log_determinant)[..., None]


def _places(d: int) -> np.ndarray:
    """The index of each entry of L, (d·d,), among the diagonal, the entries below it, and 0."""
    places = np.full((d, d), d + d * (d - 1) // 2)
    places[np.diag_indices(d)] = np.arange(d)
    places[np.tril_indices(d, -1)] = d + np.arange(d * (d - 1) // 2)
    return places.reshape(-1)
