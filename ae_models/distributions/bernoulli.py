"""The Bernoulli distribution, by logits."""

from typing import Any

import keras
from keras import ops

from ae_models.distributions.likelihood import Likelihood, Tensor


class Bernoulli(Likelihood):
    """P(x = 1) = sigmoid(logit) for each value.

    On grey levels between 0 and 1 this is the usual cross-entropy, no normalised density: scores
    rank records, but are not comparable with those of another likelihood. x is clipped to [0, 1],
    outside which the expression would reward what no image can be.
    """

    parameters_per_value = 1
    needs_unit_scaling = True

    def mean(self, parameters: Tensor) -> Tensor:
        return ops.sigmoid(parameters)

    def log_prob_per_value(self, parameters: Tensor, x: Tensor) -> Tensor:
        # x·l − softplus(l) = x·log σ(l) + (1 − x)·log(1 − σ(l)), without overflow.
        return ops.clip(x, 0.0, 1.0) * parameters - ops.softplus(parameters)

    def sample(self, parameters: Tensor, seed: Any) -> Tensor:
        mean = self.mean(parameters)
        uniform = keras.random.uniform(ops.shape(mean), dtype=mean.dtype, seed=seed)
        return ops.cast(uniform < mean, mean.dtype)
