"""How usual a record's features are overall."""

import numpy as np
from keras import ops

from ae_models.ops.area import mean_over_places
from ae_models.ops.parts import split_by_widths
from ae_models.ops.tensor import Tensor
from ae_models.scores.feature_score import FeatureScore
from ae_models.scores.log_distance import LogDistance
from ae_models.scores.score import Outputs


class GaussianScore(FeatureScore):
    """The mean of the log distances of parts of a record's features, with one Gaussian per part.

    Attributes:
      widths: the number of features of each part, set by `features`.
    """

    def __init__(self) -> None:
        self.widths: list[int] = []
        self._distances: list[LogDistance] = []

    def fit(self, features: np.ndarray) -> None:
        self._distances = [LogDistance(part) for part in split_by_widths(features, self.widths)]

    def distance(self, features: Tensor) -> Tensor:
        if not self._distances:
            raise ValueError(f"{self.name} is not fitted")
        parts = split_by_widths(features, self.widths)
        found = [distance(part) for distance, part in zip(self._distances, parts, strict=True)]
        return ops.mean(ops.stack(found), axis=0)

    def left_out(self, features: np.ndarray) -> np.ndarray:
        """The `distance` of records to which this is fitted, (n, k), as if each had been left out:
        (n,) float32."""
        parts = split_by_widths(features, self.widths)
        pairs = zip(self._distances, parts, strict=True)
        return np.mean([distance.left_out(part) for distance, part in pairs], axis=0)


class FeatureDensity(GaussianScore):
    """The log of the Mahalanobis distance of a record's features, averaged over all places, to the
    training records' mean: their squared distance, divided by the number of features.

    All layers form one vector, under one Gaussian with a shrunk covariance (Rippel et al. 2021).
    """

    name = "feature_density"

    def features(self, x: Tensor, outputs: Outputs) -> Tensor:
        del outputs
        self.widths = [x.shape[-1]]
        return mean_over_places(x)


class StageDensity(GaussianScore):
    """`feature_density` of each layer separately, averaged over the layers."""

    name = "stage_density"

    def features(self, x: Tensor, outputs: Outputs) -> Tensor:
        self.widths = [layer.shape[-1] for layer in outputs["layers"]]
        return mean_over_places(x)
