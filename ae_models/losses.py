"""Reconstruction losses, one number for each record: (N, H, W, C), (N, H, W, C) → (N,)."""

from collections.abc import Callable
from typing import Any

from keras import ops

Tensor = Any
_IMAGE_AXES = (-3, -2, -1)


def mean_squared_error(target: Tensor, output: Tensor) -> Tensor:
    """Mean over the values of (target − output)²."""
    return ops.mean(ops.square(target - output), axis=_IMAGE_AXES)


def mean_absolute_error(target: Tensor, output: Tensor) -> Tensor:
    """Mean over the values of |target − output|."""
    return ops.mean(ops.abs(target - output), axis=_IMAGE_AXES)


def binary_cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
    """Mean over the values of the cross-entropy, in nats; the target is clipped to [0, 1]."""
    target = ops.clip(target, 0.0, 1.0)
    return ops.mean(ops.softplus(logits) - target * logits, axis=_IMAGE_AXES)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": mean_squared_error,
    "mae": mean_absolute_error,
    "bce": binary_cross_entropy,
}
LOSSES_ON_LOGITS = frozenset({"bce"})
