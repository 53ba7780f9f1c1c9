"""What the variational auto-encoder asks of a distribution over latents."""

import abc
from typing import Any, ClassVar

import numpy as np

from ae_models.ops.tensor import Tensor

MIN_STDDEV = 1e-4  # keeps the density of a latent that never varies finite


class Posterior(abc.ABC):
    """q(z | x), by the raw outputs of an encoder, (N, outputs(d)) float32.

    A sample is `mean` plus a linear map of noise from a fixed, symmetric base distribution, so
    that gradients reach the parameters (Kingma and Welling 2014, 2.4).
    """

    name: ClassVar[str]
    factorised: ClassVar[bool]  # independent dimensions: the KL term is a sum over them

    mean: Tensor  # (N, d)
    stddev: Tensor  # (N, d), of each dimension by itself

    @staticmethod
    @abc.abstractmethod
    def outputs(latent_dim: int) -> int:
        """How many numbers the encoder gives for a latent of `latent_dim` dimensions."""

    @abc.abstractmethod
    def __init__(self, parameters: Tensor, latent_dim: int): ...

    @staticmethod
    @abc.abstractmethod
    def noise(shape: tuple[Any, ...], seed: Any) -> Tensor:
        """Draws from the base distribution; `seed` is an int or a SeedGenerator."""

    @staticmethod
    @abc.abstractmethod
    def noise_table(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """The same in NumPy, float64: a table to be kept."""

    @abc.abstractmethod
    def sample(self, noise: Tensor) -> Tensor:
        """z for noise of shape (N, d), (d,) or (K, N, d): (N, d) or (K, N, d)."""

    @abc.abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z | x), in nats, of z (N, d) or (K, N, d): (N,) or (K, N)."""

    @abc.abstractmethod
    def kl_to_standard(self) -> Tensor:
        """KL(q(z | x) ‖ N(0, I)), in nats: (N, d) where factorised, else (N, 1)."""
