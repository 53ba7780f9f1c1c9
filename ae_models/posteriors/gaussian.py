"""Shared by the Gaussian posteriors: their noise."""

from typing import Any

import keras
import numpy as np

from ae_models.ops.tensor import Tensor
from ae_models.posteriors.posterior import Posterior


class GaussianPosterior(Posterior):
    """A posterior whose samples are a linear map of standard normal noise."""

    @staticmethod
    def noise(shape: tuple[Any, ...], seed: Any) -> Tensor:
        return keras.random.normal(shape, seed=seed)

    @staticmethod
    def noise_table(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        return generator.standard_normal(shape)
