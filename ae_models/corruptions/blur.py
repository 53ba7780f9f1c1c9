"""Images out of focus."""

from typing import Any

import numpy as np
from keras import ops
from scipy import ndimage

from ae_models.corruptions.corruption import FixedCorruption, Tensor, positive


class Blur(FixedCorruption):
    """A Gaussian blur of standard deviation `amount`, in pixels, edges mirrored
    (`scipy.ndimage.gaussian_filter`)."""

    family = "blur"
    amounts = positive(1.0)

    def corrupted(self, x: Tensor, draws: None) -> Tensor:
        del draws
        _, height, width, _ = x.shape
        across = ops.einsum("ih,nhwc->niwc", self._matrix(height), x)
        return ops.einsum("jw,niwc->nijc", self._matrix(width), across)

    def _matrix(self, side: int) -> Any:
        """SciPy's filter along one axis is linear: what it makes of each unit vector, (side, side).
        As a matrix it is right for images that are smaller than the filter, too."""
        filtered = ndimage.gaussian_filter1d(np.eye(side), self.amount, axis=0)
        return ops.convert_to_tensor(filtered, "float32")
