"""Errors of the reconstruction on which neighbouring pixels agree."""

from keras import ops

from ae_models.ops.gaussian_filter import gaussian_filtered
from ae_models.ops.tensor import Tensor
from ae_models.scores.score import Outputs, Score

_SIDES = 0.05  # the Gaussian's share of a side: 1.4 pixels for an image of 28


class ReconstructionSmoothed(Score):
    """Mean over the values of the squared residual x − x', smoothed before squaring by a Gaussian
    of a twentieth of the shorter side.

    Texture that no model can predict has residuals of alternating sign, which cancel; a missing or
    additional part has residuals of one sign.
    """

    name = "reconstruction_smoothed"

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        return ops.mean(ops.square(smoothed_residual(x, outputs)), axis=(1, 2, 3))


def smoothed_residual(x: Tensor, outputs: Outputs) -> Tensor:
    """x − x', (N, H, W, C), smoothed by that Gaussian."""
    return gaussian_filtered(x - outputs["reconstruction"], _SIDES * min(x.shape[1:3]))
