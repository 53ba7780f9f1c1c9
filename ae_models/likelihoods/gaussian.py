"""The normal distribution."""

from typing import Any

import keras
from keras import ops

from ae_models.likelihoods.scaled import ScaledLikelihood
from ae_models.ops.tensor import LOG_TWO_PI, Tensor


class Gaussian(ScaledLikelihood):
    """N(x; m, s²) for each value."""

    family = "gaussian"

    def log_prob_per_value(self, parameters: Tensor, x: Tensor) -> Tensor:
        scale = self.scale(parameters)
        standardised = (x - self.location(parameters)) / scale
        return -0.5 * ops.square(standardised) - ops.log(scale) - 0.5 * LOG_TWO_PI

    def mean(self, parameters: Tensor) -> Tensor:
        return self.location(parameters)

    def variance(self, parameters: Tensor) -> Tensor:
        return self._like_location(parameters, self.scale(parameters) ** 2)

    def sample(self, parameters: Tensor, seed: Any) -> Tensor:
        mean = self.mean(parameters)
        noise = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=seed)
        return mean + self.scale(parameters) * noise
