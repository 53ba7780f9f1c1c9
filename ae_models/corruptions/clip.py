"""Values clipped to what a file can store."""

from keras import ops

from ae_models.corruptions.corruption import FixedCorruption
from ae_models.ops.tensor import Tensor


class Clip(FixedCorruption):
    """Clips values to [0, 1].

    Use it after noise: an image to be denoised was stored, and so clipped; a denoiser that never
    saw clipped noise would face a different distribution.
    """

    family = "clip"

    def corrupted(self, x: Tensor, draws: None) -> Tensor:
        del draws
        return ops.clip(x, 0.0, 1.0)
