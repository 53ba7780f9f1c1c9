"""Out-of-focus images."""

from ae_models.corruptions.corruption import FixedCorruption
from ae_models.ops.gaussian_filter import gaussian_filtered
from ae_models.ops.tensor import Tensor


class Blur(FixedCorruption):
    """A Gaussian blur of standard deviation `amount`, in pixels, with mirrored edges
    (`scipy.ndimage.gaussian_filter`)."""

    family = "blur"

    def corrupted(self, x: Tensor, draws: None) -> Tensor:
        del draws
        return gaussian_filtered(x, self.amount)
