"""How usual a record's features are as a whole."""

import numpy as np
from keras import ops

from ae_models.ops.parts import split_by_widths
from ae_models.ops.tensor import Tensor
from ae_models.scores.feature_score import FeatureScore
from ae_models.scores.log_distance import LogDistance
from ae_models.scores.score import Outputs


class FeatureDensity(FeatureScore):
    """The log of the Mahalanobis distance of a record's features, averaged over all places, to the
    training records' mean: their squared distance, over the number of features.

    All layers are one vector, under one Gaussian with a shrunk covariance (Rippel et al. 2021).
    """

    name = "feature_density"

    def __init__(self) -> None:
        self._distance: LogDistance | None = None

    def features(self, x: Tensor, outputs: Outputs) -> Tensor:
        del outputs
        return ops.mean(x, axis=(1, 2))

    def fit(self, features: np.ndarray) -> None:
        self._distance = LogDistance(features)

    def distance(self, features: Tensor) -> Tensor:
        if self._distance is None:
            raise ValueError(f"{self.name} is not fitted")
        return self._distance(features)


class StageDensity(FeatureScore):
    """`feature_density` of each layer by itself, the mean over the layers."""

    name = "stage_density"

    def __init__(self) -> None:
        self._distances: list[LogDistance] = []
        self._widths: list[int] = []

    def features(self, x: Tensor, outputs: Outputs) -> Tensor:
        self._widths = [layer.shape[-1] for layer in outputs["layers"]]
        return ops.mean(x, axis=(1, 2))

    def fit(self, features: np.ndarray) -> None:
        self._distances = [LogDistance(part) for part in split_by_widths(features, self._widths)]

    def distance(self, features: Tensor) -> Tensor:
        if not self._distances:
            raise ValueError(f"{self.name} is not fitted")
        parts = split_by_widths(features, self._widths)
        found = [distance(part) for distance, part in zip(self._distances, parts, strict=True)]
        return ops.mean(ops.stack(found), axis=0)
