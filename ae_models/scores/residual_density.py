"""How usual the part of a record is that the model fails to reconstruct."""

import numpy as np
from keras import ops

from ae_models.ops.area import mean_over_places
from ae_models.ops.tensor import Tensor
from ae_models.scores.feature_score import FeatureScore
from ae_models.scores.log_distance import LogDistance
from ae_models.scores.score import Outputs

_WINDOW = 0.7  # of a side


class ResidualDensity(FeatureScore):
    """The log of the Mahalanobis distance of a record's residual x − x' to those of the training
    records, in the coarsest layers: averaged over each of four windows, of seven tenths of each
    side, one in each corner; the greatest of the four.

    A squared error is insensitive to directions in which features vary little; under the residual's
    covariance they count as much as others.
    """

    name = "residual_density"

    def __init__(self) -> None:
        self._distance: LogDistance | None = None

    def features(self, x: Tensor, outputs: Outputs) -> Tensor:
        """(N, 4·K): the windows, concatenated."""
        del x
        residual = outputs["coarse_residual"]
        height, width = residual.shape[1:3]
        high, wide = (max(1, round(_WINDOW * side)) for side in (height, width))
        windows = [
            residual[:, top : top + high, left : left + wide]
            for top in (0, height - high)
            for left in (0, width - wide)
        ]
        return ops.concatenate([mean_over_places(window) for window in windows], axis=-1)

    def fit(self, features: np.ndarray) -> None:
        self._distance = LogDistance(features.reshape(4 * len(features), -1))

    def distance(self, features: Tensor) -> Tensor:
        if self._distance is None:
            raise ValueError(f"{self.name} is not fitted")
        windows = ops.split(features, 4, axis=-1)
        return ops.max(ops.stack([self._distance(window) for window in windows]), axis=0)
