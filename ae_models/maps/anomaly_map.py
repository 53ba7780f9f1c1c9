"""The base of every anomaly map."""

import abc
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ae_models.ops.tensor import Tensor


class AnomalyMap(abc.ABC):
    """A function of scaled images and a model's inference: how anomalous each place of a record is,
    greater being more anomalous. Some are fitted to training records.

    Args:
      size: (h, w) of the maps.
    """

    name: ClassVar[str]

    def __init__(self, size: tuple[int, int]):
        self.size = size

    def features(self, x: Tensor, outputs: Mapping[str, Tensor]) -> Tensor | None:
        """What `fit` needs from each training record, (N, k), or None if nothing is fitted."""
        del x, outputs
        return None

    def fit(self, features: np.ndarray) -> None:
        """Fits the map to the features of training records, (N, k) float32."""
        del features

    @abc.abstractmethod
    def __call__(self, x: Tensor, outputs: Mapping[str, Tensor]) -> Tensor:
        """(N, H, W, C) float32 and the model's outputs → (N, h, w) float32."""
