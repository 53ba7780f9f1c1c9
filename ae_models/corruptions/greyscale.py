"""Images without colour."""

from keras import ops

from ae_models.corruptions.corruption import FixedCorruption
from ae_models.ops.tensor import Tensor

LUMA = (0.299, 0.587, 0.114)


class Greyscale(FixedCorruption):
    """Sets red, green and blue to their luma (ITU-R BT.601, like Pillow's `convert("L")`), and
    leaves alpha unchanged. For images with three or four channels.

    Raises:
      ValueError: images have another number of channels.
    """

    family = "greyscale"

    def corrupted(self, x: Tensor, draws: None) -> Tensor:
        del draws
        if x.shape[-1] not in (3, 4):
            raise ValueError(f"greyscale needs 3 or 4 channels. Received: {x.shape[-1]}")
        luma = ops.sum(x[..., :3] * ops.convert_to_tensor(LUMA, x.dtype), axis=-1, keepdims=True)
        return ops.concatenate([ops.repeat(luma, 3, axis=-1), x[..., 3:]], axis=-1)
