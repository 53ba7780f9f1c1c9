"""The Laplace posterior: independent dimensions, heavier tails than a Gaussian's."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from ae_models.ops.tensor import LOG_TWO_PI, Tensor
from ae_models.posteriors.factorised import FactorisedPosterior

_LARGEST_UNIFORM = 1.0 - 2.0**-24  # the float32 just below 1, for which log(1 − u) is finite


class Laplace(FactorisedPosterior):
    """q(z | x) = ∏ exp(−|z − mean| / b) / 2b, with the scale b."""

    name = "laplace"

    def __init__(self, parameters: Tensor, latent_dim: int):
        super().__init__(parameters, latent_dim)
        self.stddev = math.sqrt(2.0) * self._scale

    @staticmethod
    def noise(shape: tuple[Any, ...], seed: Any) -> Tensor:
        """The inverse of the distribution function at uniform draws."""
        uniform = keras.random.uniform(shape, -1.0, 1.0, seed=seed)
        size = ops.minimum(ops.abs(uniform), _LARGEST_UNIFORM)
        return -ops.sign(uniform) * ops.log1p(-size)

    @staticmethod
    def noise_table(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        return generator.laplace(size=shape)

    def log_prob(self, z: Tensor) -> Tensor:
        terms = -ops.abs(z - self.mean) / self._scale - ops.log(2.0 * self._scale)
        return ops.sum(terms, axis=-1)

    def kl_to_standard(self) -> Tensor:
        """−H(q) − E_q[log N(z; 0, 1)], with H(q) = 1 + log 2b and E_q[z²] = mean² + 2·b²."""
        second_moment = ops.square(self.mean) + 2.0 * ops.square(self._scale)
        return 0.5 * second_moment + 0.5 * LOG_TWO_PI - 1.0 - ops.log(2.0 * self._scale)
