"""The interface of distributions over images that the variational auto-encoder uses."""

import abc
from typing import Any, ClassVar

import keras
from keras import ops

from ae_models.likelihoods.options import LikelihoodOptions
from ae_models.ops.tensor import Tensor

LEAST_LEVEL = 1e-3  # in a mean image, whose logits must be finite
_DEFAULTS = LikelihoodOptions()


class Likelihood(keras.layers.Layer, abc.ABC):
    """A distribution p(x | z), independent over the values of an image.

    `parameters` is always the decoder's raw output, (..., H, W, C * parameters_per_value) float32.
    It is a layer, so that a family may have weights besides these parameters.
    """

    family: ClassVar[str]
    parameters_per_value: int = 1

    def __init__(self, options: LikelihoodOptions = _DEFAULTS):
        super().__init__(name=self.family)
        self.built = True
        self._configure(options)

    def _configure(self, options: LikelihoodOptions) -> None:
        """Reads the options that the family needs, and adds its weights."""

    @abc.abstractmethod
    def log_prob_per_value(self, parameters: Tensor, x: Tensor) -> Tensor:
        """log p of each value of x, in nats: (..., H, W, C)."""

    @abc.abstractmethod
    def mean(self, parameters: Tensor) -> Tensor:
        """The expected image, (..., H, W, C)."""

    @abc.abstractmethod
    def variance(self, parameters: Tensor) -> Tensor:
        """The variance of each value, (..., H, W, C)."""

    @abc.abstractmethod
    def parameters_of(self, mean: Tensor) -> Tensor:
        """Raw parameters, (..., H, W, C * parameters_per_value), whose expected image is about
        `mean`: a starting point for training."""

    @abc.abstractmethod
    def sample(self, parameters: Tensor, seed: Any) -> Tensor:
        """One image drawn per record, (..., H, W, C); `seed` is an int or a SeedGenerator."""

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """log p(x | z), in nats, summed over the image: (...,)."""
        return ops.sum(self.log_prob_per_value(parameters, x), axis=(-3, -2, -1))
