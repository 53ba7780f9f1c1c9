"""The standard normal prior."""

from typing import Any

import keras
from keras import ops

from ae_models.ops.tensor import LOG_TWO_PI, Tensor
from ae_models.posteriors.posterior import Posterior
from ae_models.priors.prior import Prior


class StandardPrior(Prior):
    """p(z) = N(z; 0, I)."""

    family = "standard"

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * ops.sum(ops.square(z) + LOG_TWO_PI, axis=-1)

    def sample(self, count: int, seed: Any) -> Tensor:
        return keras.random.normal((count, self._latent_dim), seed=seed)

    def moments(self) -> tuple[Tensor, Tensor]:
        return ops.zeros(self._latent_dim), ops.ones(self._latent_dim)

    def kl_from(self, posterior: Posterior) -> Tensor:
        return posterior.kl_to_standard()
