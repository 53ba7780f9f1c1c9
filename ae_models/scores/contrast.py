"""Whether a model recognises which way up a record is."""

from keras import ops

from ae_models.config.configuration import Configuration
from ae_models.losses.losses import mean_squared_error
from ae_models.ops.tensor import Tensor
from ae_models.scores.score import SMALLEST_ERROR, Outputs, Score


class RotationContrast(Score):
    """How much closer a record's restorations are to the record than to its rotated views: the mean
    over the rotations k of log mse(x'_k, x) minus the mean over j of log mse(x'_k, x rotated by j),
    where x'_k is restored from rotation k.

    How difficult an image is to reconstruct is in both terms and cancels; what remains is whether
    the model found the right way up, as it does for images like its training images.
    """

    name = "rotation_contrast"
    resolution = 1e-5  # nats
    kinds = frozenset({"dae"})
    by_default = False

    @classmethod
    def refusal(cls, config: Configuration) -> str | None:
        corruption = getattr(config.model, "corruption", None)
        if config.features.is_on:
            return "needs pixels, whose rotated views it compares. Received: features"
        if corruption != "rotation":
            return f"needs model.corruption 'rotation' and no other. Received: {corruption!r}"
        return None

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        restored, turned = outputs["restorations"], outputs["views"][1:]  # the first is x itself
        to_record = _log_error(x, restored)
        to_turned = ops.mean(_log_error(turned[:, None], restored[None]), axis=0)
        return ops.mean(to_record - to_turned, axis=0)


def _log_error(target: Tensor, output: Tensor) -> Tensor:
    return ops.log(ops.maximum(mean_squared_error(target, output), SMALLEST_ERROR))
