"""The logistic distribution over the levels of a pixel, with a proper probability for each."""

import math
from typing import Any

import keras
from keras import ops

from ae_models.likelihoods.options import LikelihoodOptions
from ae_models.likelihoods.scaled import ScaledLikelihood
from ae_models.ops.tensor import Tensor

# The uniform draws whose logits are finite in float32.
_LEAST_UNIFORM = 1e-7


class DiscretisedLogistic(ScaledLikelihood):
    """P of a level: the mass of a logistic distribution in its cell, where the outer cells are open
    (Salimans et al. 2017, PixelCNN++, without the mixture).

    Levels are k / n for k = 0 … n, with n = 2^bits − 1: log p is that of the discrete image, so
    −log p / log 2 is in bits, comparable with the length of a lossless code.
    """

    family = "discretised_logistic"

    def _configure(self, options: LikelihoodOptions) -> None:
        super()._configure(options)
        self._intervals = 2.0**options.bits - 1.0

    def log_prob_per_value(self, parameters: Tensor, x: Tensor) -> Tensor:
        """log(σ(a) − σ(b)) = log σ(a) + log σ(−b) + log(1 − exp(b − a)), for a > b; a lower
        edge has σ(b) = 0, an upper one σ(a) = 1."""
        scale, half = self.scale(parameters), 0.5 / self._intervals
        centred = ops.clip(x, 0.0, 1.0) - self.location(parameters)
        lower, upper = x < half, x > 1.0 - half
        below_upper_end = ops.where(upper, 0.0, -ops.softplus(-(centred + half) / scale))
        above_lower_end = ops.where(lower, 0.0, -ops.softplus((centred - half) / scale))
        width = ops.log(-ops.expm1(-2.0 * half / scale))
        inside = ops.where(ops.logical_or(lower, upper), 0.0, width)
        return below_upper_end + above_lower_end + inside

    def mean(self, parameters: Tensor) -> Tensor:
        """s·(softplus(m / s) − softplus((m − 1) / s)): the mean of the logistic clipped to [0, 1],
        of which the mean over the levels is the midpoint rule."""
        location, scale = self.location(parameters), self.scale(parameters)
        return scale * (ops.softplus(location / scale) - ops.softplus((location - 1.0) / scale))

    def variance(self, parameters: Tensor) -> Tensor:
        """s²·π² / 3: the variance of the logistic before clipping and rounding."""
        return self._like_location(parameters, (self.scale(parameters) * math.pi) ** 2 / 3.0)

    def sample(self, parameters: Tensor, seed: Any) -> Tensor:
        location = self.location(parameters)
        uniform = keras.random.uniform(
            ops.shape(location), _LEAST_UNIFORM, 1.0 - _LEAST_UNIFORM, seed=seed
        )
        drawn = location + self.scale(parameters) * (ops.log(uniform) - ops.log1p(-uniform))
        return ops.round(ops.clip(drawn, 0.0, 1.0) * self._intervals) / self._intervals
