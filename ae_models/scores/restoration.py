"""Errors of restoring a record from corrupted views of it, in scaled units.

A model that was trained to undo a corruption can do so for records like its training records:
what it fails to restore is anomalous (ARNet, Fei et al. 2020). Each view is a pass through the
model, so these scores are computed only on request.
"""

from keras import ops

from ae_models.config.configuration import Configuration
from ae_models.losses.losses import mean_absolute_error, mean_squared_error
from ae_models.ops.tensor import Tensor
from ae_models.scores.score import Outputs, Score


class _Restoration(Score):
    kinds = frozenset({"dae"})
    by_default = False

    @classmethod
    def refusal(cls, config: Configuration) -> str | None:
        if config.corruption_of_images:
            return (
                "needs a corruption of features, which has views. Received: "
                f"model.corruption {getattr(config.model, 'corruption', None)!r}"
            )
        return None


class RestorationMSE(_Restoration):
    """Mean over the views and the values of (x − x')², where x' is restored from the view."""

    name = "restoration_mse"

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        return ops.mean(mean_squared_error(x, outputs["restorations"]), axis=0)


class RestorationMAE(_Restoration):
    """Mean over the views and the values of |x − x'|, where x' is restored from the view."""

    name = "restoration_mae"
    resolution = 1e-6

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        return ops.mean(mean_absolute_error(x, outputs["restorations"]), axis=0)
