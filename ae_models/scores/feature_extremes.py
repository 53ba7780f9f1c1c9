"""How usual the extremes of a record's features are."""

from keras import ops

from ae_models.ops.tensor import Tensor
from ae_models.scores.feature_density import GaussianScore
from ae_models.scores.score import Outputs

_TAIL = 0.05  # of the places


class FeatureExtremes(GaussianScore):
    """As `feature_density`, for the extremes over the places of each feature of the last layer: the
    mean of the logs of two distances, that of its 5% and 95% quantiles and that of its maximum.

    An object that is small in the image hardly moves a mean, but it has features at their peak.
    """

    name = "feature_extremes"

    def features(self, x: Tensor, outputs: Outputs) -> Tensor:
        """(N, 3·C): low and high quantiles, order statistics, and maxima."""
        del x
        layer = outputs["layers"][-1]
        places, channels = layer.shape[1] * layer.shape[2], layer.shape[3]
        self.widths = [2 * channels, channels]
        values = ops.transpose(ops.reshape(layer, (-1, places, channels)), (0, 2, 1))
        below, above = int(_TAIL * places), places - 1 - int((1 - _TAIL) * places)
        greatest = ops.top_k(values, above + 1)[0]
        least = -ops.top_k(-values, below + 1)[0]
        return ops.concatenate([least[..., -1], greatest[..., -1], greatest[..., 0]], axis=-1)
