"""Errors of the reconstruction that neighbouring pixels agree on."""

from keras import ops

from ae_models.ops.gaussian_filter import gaussian_filtered
from ae_models.ops.tensor import Tensor
from ae_models.scores.score import Outputs, Score

_SIDES = 0.05  # of the Gaussian: 1.4 pixels for an image of 28


class ReconstructionSmoothed(Score):
    """Mean over the values of the squared residual x − x', smoothed before it is squared, by a
    Gaussian of a twentieth of the shorter side.

    Texture that no model can predict has residuals of either sign side by side, which cancel; a
    part that is missing, or too much, has one sign all over.
    """

    name = "reconstruction_smoothed"

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        return ops.mean(ops.square(smoothed_residual(x, outputs)), axis=(1, 2, 3))


def smoothed_residual(x: Tensor, outputs: Outputs) -> Tensor:
    """x − x', (N, H, W, C), under that Gaussian."""
    return gaussian_filtered(x - outputs["reconstruction"], _SIDES * min(x.shape[1:3]))
