"""The interface of distributions over latents that the variational auto-encoder uses."""

import abc
from typing import Any, ClassVar

import numpy as np

from ae_models.ops.tensor import Tensor

MIN_STDDEV = 1e-4  # keeps the density finite for a latent that never varies


class Posterior(abc.ABC):
    """q(z | x), given by the raw outputs of an encoder, (N, outputs(d)) float32.

    A sample is `mean` plus a linear map of noise from a fixed, symmetric base distribution, so
    that gradients reach the parameters (Kingma and Welling 2014, 2.4).
    """

    name: ClassVar[str]
    factorised: ClassVar[bool]  # independent dimensions, over which the KL term is a sum

    mean: Tensor  # (N, d)
    stddev: Tensor  # (N, d), marginal, of each dimension

    @staticmethod
    @abc.abstractmethod
    def outputs(latent_dim: int) -> int:
        """The number of encoder outputs for a latent of `latent_dim` dimensions."""

    @abc.abstractmethod
    def __init__(self, parameters: Tensor, latent_dim: int): ...

    @staticmethod
    @abc.abstractmethod
    def noise(shape: tuple[Any, ...], seed: Any) -> Tensor:
        """Draws from the base distribution; `seed` is an int or a SeedGenerator."""

    @staticmethod
    @abc.abstractmethod
    def noise_table(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """The same draws in NumPy, float64, for a table that is saved."""

    @abc.abstractmethod
    def sample(self, noise: Tensor) -> Tensor:
        """z for noise of shape (N, d), (d,) or (K, N, d): (N, d) or (K, N, d)."""

    @abc.abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z | x), in nats, for z (N, d) or (K, N, d): (N,) or (K, N)."""

    @abc.abstractmethod
    def kl_to_standard(self) -> Tensor:
        """KL(q(z | x) ‖ N(0, I)), in nats: (N, d) if factorised, (N, 1) if not."""
