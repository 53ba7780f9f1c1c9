"""Where an image is unlikely."""

from collections.abc import Mapping

from keras import ops

from ae_models.maps.anomaly_map import AnomalyMap
from ae_models.maps.error import SMOOTHING
from ae_models.ops.resampling import resampled
from ae_models.ops.tensor import Tensor


class LikelihoodMap(AnomalyMap):
    """−log p(x | z) of each pixel at the posterior's mean, in nats, averaged over the channels,
    smoothed like `error`. Densities may be above 1, and the map below 0."""

    name = "likelihood"

    def __call__(self, x: Tensor, outputs: Mapping[str, Tensor]) -> Tensor:
        del x
        nats = -ops.mean(outputs["log_likelihood_per_value"], axis=-1)
        is_coarse = nats.shape[1] < self.size[0]
        return resampled(nats, self.size, 0.0 if is_coarse else SMOOTHING * min(self.size))
