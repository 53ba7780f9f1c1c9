"""Errors of the reconstruction, in the scaled units that the model was trained in."""

from ae_models.losses.losses import mean_absolute_error, mean_squared_error
from ae_models.ops.tensor import Tensor
from ae_models.scores.score import Outputs, Score


class ReconstructionMSE(Score):
    """Mean over the values of (x − x')²."""

    name = "reconstruction_mse"

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        return mean_squared_error(x, outputs["reconstruction"])


class ReconstructionMAE(Score):
    """Mean over the values of |x − x'|."""

    name = "reconstruction_mae"
    resolution = 1e-6

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        return mean_absolute_error(x, outputs["reconstruction"])
