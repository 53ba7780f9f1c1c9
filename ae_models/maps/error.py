"""Where the reconstruction is wrong."""

from collections.abc import Mapping

from keras import ops

from ae_models.maps.anomaly_map import AnomalyMap
from ae_models.ops.resampling import resampled
from ae_models.ops.tensor import Tensor

SMOOTHING = 0.02  # of the shorter side: a Gaussian that joins the pixels of one defect


class ErrorMap(AnomalyMap):
    """(x − x')², averaged over the channels. For pixels, smoothed with a Gaussian of a fiftieth of
    the shorter side; for features, the error at each place of their grid, interpolated linearly.
    """

    name = "error"

    def __call__(self, x: Tensor, outputs: Mapping[str, Tensor]) -> Tensor:
        error = ops.mean(ops.square(x - outputs["reconstruction"]), axis=-1)
        is_coarse = error.shape[1] < self.size[0]
        return resampled(error, self.size, 0.0 if is_coarse else SMOOTHING * min(self.size))
