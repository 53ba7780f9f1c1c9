"""The normal distribution with a mean and a scale learned for each pixel."""

import math
from typing import Any

import keras
from keras import ops

from ae_models.distributions.likelihood import Likelihood, Tensor

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class Gaussian(Likelihood):
    """N(x; m, s²) for each value; the decoder gives m and, through a softplus, s.

    `min_scale` keeps the density of a pixel that never varies finite; 0.01 of the unit range is
    about two and a half grey levels of an 8-bit image.
    """

    parameters_per_value = 2

    def __init__(self, min_scale: float = 0.01):
        self.min_scale = min_scale

    def mean(self, parameters: Tensor) -> Tensor:
        return ops.split(parameters, 2, axis=-1)[0]

    def scale(self, parameters: Tensor) -> Tensor:
        """The standard deviation of each value, (..., H, W, C), at least `min_scale`."""
        return self.min_scale + ops.softplus(ops.split(parameters, 2, axis=-1)[1])

    def log_prob_per_value(self, parameters: Tensor, x: Tensor) -> Tensor:
        scale = self.scale(parameters)
        standardised = (x - self.mean(parameters)) / scale
        return -0.5 * ops.square(standardised) - ops.log(scale) - _HALF_LOG_TWO_PI

    def sample(self, parameters: Tensor, seed: Any) -> Tensor:
        mean = self.mean(parameters)
        noise = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=seed)
        return mean + self.scale(parameters) * noise
