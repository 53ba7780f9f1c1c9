"""The interface of distributions over latents that do not depend on an image."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import keras

from ae_models.ops.tensor import Tensor
from ae_models.posteriors.posterior import Posterior

# Images (K, H, W, C), scaled → q(z | x).
Encode = Callable[[Tensor], Posterior]


class Prior(keras.layers.Layer, abc.ABC):
    """p(z), over latents of d dimensions.

    Args:
      latent_dim: d.
      components: K, the number of components of a mixture.
      image_shape: (H, W, C).
      encode: the model's encoder.
    """

    family: ClassVar[str]

    def __init__(
        self, latent_dim: int, components: int, image_shape: tuple[int, int, int], encode: Encode
    ):
        super().__init__(name=f"{self.family}_prior")
        self.built = True
        self._latent_dim, self._components = latent_dim, components
        self._encode = encode
        self._add_weights(image_shape)

    def _add_weights(self, image_shape: tuple[int, int, int]) -> None:
        """Adds the weights of a learned family."""

    def initialise(self, images: Any) -> None:
        """Receives a few training images, (n, H, W, C) scaled, before training starts."""

    @abc.abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z), in nats, for z (..., d): (...,)."""

    @abc.abstractmethod
    def sample(self, count: int, seed: Any) -> Tensor:
        """z drawn from the prior, (count, d); `seed` is a SeedGenerator."""

    @abc.abstractmethod
    def moments(self) -> tuple[Tensor, Tensor]:
        """The mean and the standard deviation of each dimension, (d,) each."""

    def kl_from(self, posterior: Posterior) -> Tensor | None:
        """KL(q(z | x) ‖ p(z)), in nats, (N, d) or (N, 1), or None without a closed form."""
        del posterior
        return None
