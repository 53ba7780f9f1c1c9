"""The Gaussian posterior with a diagonal covariance."""

from keras import ops

from ae_models.ops.tensor import LOG_TWO_PI, Tensor
from ae_models.posteriors.factorised import FactorisedPosterior
from ae_models.posteriors.gaussian import GaussianPosterior


class DiagonalGaussian(FactorisedPosterior, GaussianPosterior):
    """q(z | x) = N(z; mean, diag(stddev²))."""

    name = "diagonal_gaussian"

    def __init__(self, parameters: Tensor, latent_dim: int):
        super().__init__(parameters, latent_dim)
        self.stddev = self._scale

    def log_prob(self, z: Tensor) -> Tensor:
        standardised = (z - self.mean) / self.stddev
        terms = -0.5 * ops.square(standardised) - ops.log(self.stddev) - 0.5 * LOG_TWO_PI
        return ops.sum(terms, axis=-1)

    def kl_to_standard(self) -> Tensor:
        """Kingma and Welling (2014), appendix B."""
        variance = ops.square(self.stddev)
        return 0.5 * (variance + ops.square(self.mean) - 1.0 - ops.log(variance))
