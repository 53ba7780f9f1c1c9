"""Reconstruction losses, one number per record."""

from keras import ops

from ae_models.ops.tensor import Tensor

_IMAGE_AXES = (-3, -2, -1)
_HUBER_DELTA = 0.1


def mean_squared_error(target: Tensor, output: Tensor) -> Tensor:
    """Mean over the values of (target − output)²."""
    return ops.mean(ops.square(target - output), axis=_IMAGE_AXES)


def mean_absolute_error(target: Tensor, output: Tensor) -> Tensor:
    """Mean over the values of |target − output|.

    Its minimum is the median: on images that are mostly black, a model trained on it alone may
    produce black images only.
    """
    return ops.mean(ops.abs(target - output), axis=_IMAGE_AXES)


def huber(target: Tensor, output: Tensor) -> Tensor:
    """Mean over the values of Huber's loss (1964): e² / 2 if |e| ≤ δ, δ·(|e| − δ / 2) if not.

    δ is 0.1 in scaled units. A greater δ would give half the squared error: hardly any value
    between 0 and 1 is reconstructed worse than that.
    """
    error = ops.abs(target - output)
    within = ops.minimum(error, _HUBER_DELTA)
    return ops.mean(within * (error - 0.5 * within), axis=_IMAGE_AXES)


def binary_cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
    """Mean over the values of the cross-entropy, in nats; the target is clipped to [0, 1]."""
    target = ops.clip(target, 0.0, 1.0)
    return ops.mean(ops.softplus(logits) - target * logits, axis=_IMAGE_AXES)
