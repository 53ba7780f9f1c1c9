"""Images out of focus."""

from ae_models.corruptions.corruption import FixedCorruption, Tensor, positive
from ae_models.gaussian_filter import gaussian_filtered


class Blur(FixedCorruption):
    """A Gaussian blur of standard deviation `amount`, in pixels, edges mirrored
    (`scipy.ndimage.gaussian_filter`)."""

    family = "blur"
    amounts = positive(1.0)

    def corrupted(self, x: Tensor, draws: None) -> Tensor:
        del draws
        return gaussian_filtered(x, self.amount)
