"""The Gaussian posterior over latents with a diagonal covariance."""

import math

from keras import ops

from ae_models.distributions.likelihood import Tensor

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class DiagonalGaussian:
    """q(z | x) = N(z; mean, diag(stddev²)), by an encoder's 2·d raw outputs, (N, 2d) float32."""

    min_stddev = 1e-4

    @staticmethod
    def outputs(latent_dim: int) -> int:
        """How many numbers the encoder gives for a latent of `latent_dim` dimensions."""
        return 2 * latent_dim

    def __init__(self, parameters: Tensor):
        self.mean, raw = ops.split(parameters, 2, axis=-1)
        self.stddev = self.min_stddev + ops.softplus(raw)

    def sample(self, noise: Tensor) -> Tensor:
        """z = mean + stddev · noise, with noise drawn from N(0, I), (N, d) or (d,): (N, d)."""
        return self.mean + self.stddev * noise

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z | x), in nats: (N,)."""
        standardised = (z - self.mean) / self.stddev
        terms = -0.5 * ops.square(standardised) - ops.log(self.stddev) - _HALF_LOG_TWO_PI
        return ops.sum(terms, axis=-1)

    def kl_to_standard(self) -> Tensor:
        """KL(q(z | x) ‖ N(0, I)), in nats: (N,). Kingma and Welling (2014), appendix B."""
        variance = ops.square(self.stddev)
        terms = variance + ops.square(self.mean) - 1.0 - ops.log(variance)
        return 0.5 * ops.sum(terms, axis=-1)
