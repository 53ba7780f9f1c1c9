"""What the variational auto-encoder asks of a distribution over images."""

import abc
from typing import Any

from keras import ops

Tensor = Any  # a Keras tensor or anything that keras.ops accepts


class Likelihood(abc.ABC):
    """A distribution p(x | z), independent over the values of an image.

    `parameters` is always the decoder's raw output, (..., H, W, C * parameters_per_value) float32.
    """

    parameters_per_value: int
    needs_unit_scaling: bool = False

    @abc.abstractmethod
    def log_prob_per_value(self, parameters: Tensor, x: Tensor) -> Tensor:
        """log p of each value of x, in nats: (..., H, W, C)."""

    @abc.abstractmethod
    def mean(self, parameters: Tensor) -> Tensor:
        """The expected image, (..., H, W, C)."""

    @abc.abstractmethod
    def sample(self, parameters: Tensor, seed: Any) -> Tensor:
        """One image drawn for each record, (..., H, W, C); `seed` is an int or a SeedGenerator."""

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """log p(x | z), in nats, summed over the image: (...,)."""
        return ops.sum(self.log_prob_per_value(parameters, x), axis=(-3, -2, -1))
