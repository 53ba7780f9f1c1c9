"""The continuous Bernoulli distribution, parametrised by logits."""

from typing import Any

import keras
from keras import ops

from ae_models.likelihoods.likelihood import LEAST_LEVEL, Likelihood
from ae_models.ops.tensor import Tensor

# Below it, in magnitude, the closed forms lose digits, and the Taylor series are exact to float32.
_SMALL = 0.5
_TINY = 1e-6


class ContinuousBernoulli(Likelihood):
    """p(x) = l·exp(l·x) / (exp(l) − 1) on [0, 1], for the logit l: the Bernoulli expression with
    the constant that makes it a density (Loaiza-Ganem and Cunningham 2019). x is clipped."""

    family = "continuous_bernoulli"

    def log_prob_per_value(self, parameters: Tensor, x: Tensor) -> Tensor:
        return (ops.clip(x, 0.0, 1.0) - 0.5) * parameters - _log_sinh_ratio(0.5 * parameters)

    def mean(self, parameters: Tensor) -> Tensor:
        """1 / (1 − exp(−l)) − 1 / l."""
        small, near, safe = _parted(parameters)
        series = 0.5 + near / 12.0 - near**3 / 720.0 + near**5 / 30240.0
        # By symmetry, from the positive side, where nothing overflows.
        size = ops.abs(safe)
        upper = -1.0 / ops.expm1(-size) - 1.0 / size
        return ops.where(small, series, ops.where(safe > 0, upper, 1.0 - upper))

    def variance(self, parameters: Tensor) -> Tensor:
        """1 / l² − 1 / (2·sinh(l / 2))²."""
        small, near, safe = _parted(parameters)
        square = ops.square(near)
        series = 1.0 / 12.0 - square / 240.0 + square**2 / 6048.0 - square**3 / 172800.0
        size = ops.abs(safe)
        # 1 / (2·sinh(l / 2)) = exp(−l / 2) / (1 − exp(−l))
        exact = 1.0 / size**2 - ops.square(ops.exp(-0.5 * size) / ops.expm1(-size))
        return ops.where(small, series, exact)

    def parameters_of(self, mean: Tensor) -> Tensor:
        level = ops.clip(mean, LEAST_LEVEL, 1.0 - LEAST_LEVEL)
        return ops.log(level) - ops.log1p(-level)

    def sample(self, parameters: Tensor, seed: Any) -> Tensor:
        """The inverse of F(x) = (exp(l·x) − 1) / (exp(l) − 1) at uniform draws."""
        uniform = keras.random.uniform(ops.shape(parameters), seed=seed)
        small, near, safe = _parted(parameters)
        size = ops.abs(safe)
        upper = 1.0 + ops.log(uniform + (1.0 - uniform) * ops.exp(-size)) / size
        exact = ops.where(safe > 0, upper, 1.0 - upper)
        near = ops.where(ops.abs(near) < _TINY, _TINY, near)
        drawn = ops.where(small, ops.log1p(uniform * ops.expm1(near)) / near, exact)
        return ops.clip(drawn, 0.0, 1.0)


def _parted(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which logits are small; the small ones, with 0 for the others; the others, with 1 for these.

    The substitutes keep NaN out of the gradient of the branch that is not taken.
    """
    small = ops.abs(logits) < _SMALL
    return small, ops.where(small, logits, 0.0), ops.where(small, 1.0, logits)


def _log_sinh_ratio(u: Tensor) -> Tensor:
    """log(sinh(u) / u), without overflow."""
    small, near, safe = _parted(u)
    size = ops.abs(safe)
    # log sinh(u) = u + log(1 − exp(−2u)) − log 2
    square = ops.square(near)
    series = square / 6.0 - square**2 / 180.0 + square**3 / 2835.0 - square**4 / 37800.0
    exact = size + ops.log(-0.5 * ops.expm1(-2.0 * size)) - ops.log(size)
    return ops.where(small, series, exact)
