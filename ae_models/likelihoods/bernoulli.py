"""The Bernoulli distribution, parametrised by logits."""

from typing import Any

import keras
from keras import ops

from ae_models.likelihoods.likelihood import LEAST_LEVEL, Likelihood
from ae_models.ops.tensor import Tensor


class Bernoulli(Likelihood):
    """P(x = 1) = sigmoid(logit) for each value.

    On grey levels between 0 and 1 this is the usual cross-entropy, which is not a normalised
    density: it is the mean of log p over images whose values are drawn as 0 or 1 with these levels
    as probabilities. Scores rank records, but are not comparable with those of another likelihood.
    x is clipped to [0, 1]; outside, the expression would reward values that no image can have.
    """

    family = "bernoulli"

    def log_prob_per_value(self, parameters: Tensor, x: Tensor) -> Tensor:
        # x·l − softplus(l) = x·log σ(l) + (1 − x)·log(1 − σ(l)), without overflow.
        return ops.clip(x, 0.0, 1.0) * parameters - ops.softplus(parameters)

    def mean(self, parameters: Tensor) -> Tensor:
        return ops.sigmoid(parameters)

    def variance(self, parameters: Tensor) -> Tensor:
        return ops.sigmoid(parameters) * ops.sigmoid(-parameters)

    def parameters_of(self, mean: Tensor) -> Tensor:
        level = ops.clip(mean, LEAST_LEVEL, 1.0 - LEAST_LEVEL)
        return ops.log(level) - ops.log1p(-level)

    def sample(self, parameters: Tensor, seed: Any) -> Tensor:
        mean = self.mean(parameters)
        uniform = keras.random.uniform(ops.shape(mean), dtype=mean.dtype, seed=seed)
        return ops.cast(uniform < mean, mean.dtype)
