"""The Gaussian posterior with a diagonal covariance."""

import math

from keras import ops

from ae_models.posteriors.gaussian import GaussianPosterior
from ae_models.posteriors.posterior import MIN_STDDEV, Tensor

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class DiagonalGaussian(GaussianPosterior):
    """q(z | x) = N(z; mean, diag(stddev²)), by an encoder's 2·d raw outputs."""

    name = "diagonal_gaussian"
    factorised = True

    @staticmethod
    def outputs(latent_dim: int) -> int:
        return 2 * latent_dim

    def __init__(self, parameters: Tensor, latent_dim: int):
        self.mean, raw = ops.split(parameters, [latent_dim], axis=-1)
        self.stddev = MIN_STDDEV + ops.softplus(raw)

    def sample(self, noise: Tensor) -> Tensor:
        return self.mean + self.stddev * noise

    def log_prob(self, z: Tensor) -> Tensor:
        standardised = (z - self.mean) / self.stddev
        terms = -0.5 * ops.square(standardised) - ops.log(self.stddev) - _HALF_LOG_TWO_PI
        return ops.sum(terms, axis=-1)

    def kl_to_standard(self) -> Tensor:
        """Kingma and Welling (2014), appendix B."""
        variance = ops.square(self.stddev)
        return 0.5 * (variance + ops.square(self.mean) - 1.0 - ops.log(variance))
