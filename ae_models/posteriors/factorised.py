"""Shared by posteriors with independent dimensions: a mean and a scale for each dimension."""

from typing import ClassVar

from keras import ops

from ae_models.ops.tensor import Tensor
from ae_models.posteriors.posterior import MIN_STDDEV, Posterior


class FactorisedPosterior(Posterior):
    """mean + scale · noise in each dimension, from an encoder's 2·d raw outputs."""

    factorised: ClassVar[bool] = True

    @staticmethod
    def outputs(latent_dim: int) -> int:
        return 2 * latent_dim

    def __init__(self, parameters: Tensor, latent_dim: int):
        self.mean, raw = ops.split(parameters, [latent_dim], axis=-1)
        self._scale = MIN_STDDEV + ops.softplus(raw)

    def sample(self, noise: Tensor) -> Tensor:
        return self.mean + self._scale * noise
