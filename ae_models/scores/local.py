"""The worst place of a reconstruction."""

from keras import ops

from ae_models.ops.tensor import Tensor
from ae_models.scores.score import Outputs, Score

_PARTS, _LEAST = 16, 5  # parts of a side; pixels


class ReconstructionMax(Score):
    """The greatest local mean of (x − x')², which shows a small defect in a large image that a mean
    over the entire image would hide.

    Local means are over all channels of a window of a sixteenth of each side, but at least 5
    pixels, or the full side if it has fewer. Windows are within the image.
    """

    name = "reconstruction_max"

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        squares = ops.square(x - outputs["reconstruction"])
        errors = ops.mean(squares, axis=-1, keepdims=True)
        window = tuple(min(side, max(_LEAST, side // _PARTS)) for side in x.shape[1:3])
        return ops.max(ops.average_pool(errors, window, strides=1), axis=(1, 2, 3))
