"""The Laplace distribution."""

from typing import Any

from keras import ops

from ae_models.likelihoods.scaled import ScaledLikelihood
from ae_models.ops.tensor import Tensor
from ae_models.posteriors.laplace import Laplace as LaplaceNoise


class Laplace(ScaledLikelihood):
    """exp(−|x − m| / s) / 2s for each value: outliers cost less than under a Gaussian."""

    family = "laplace"

    def log_prob_per_value(self, parameters: Tensor, x: Tensor) -> Tensor:
        scale = self.scale(parameters)
        return -ops.abs(x - self.location(parameters)) / scale - ops.log(2.0 * scale)

    def mean(self, parameters: Tensor) -> Tensor:
        return self.location(parameters)

    def variance(self, parameters: Tensor) -> Tensor:
        return self._like_location(parameters, 2.0 * self.scale(parameters) ** 2)

    def sample(self, parameters: Tensor, seed: Any) -> Tensor:
        mean = self.mean(parameters)
        return mean + self.scale(parameters) * LaplaceNoise.noise(ops.shape(mean), seed)
