"""Reconstruction losses, one number for each record, and weighted sums of them."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from keras import ops

from ae_models.ops.ssim import structural_dissimilarity

Tensor = Any
_IMAGE_AXES = (-3, -2, -1)
_HUBER_DELTA = 0.1


def mean_squared_error(target: Tensor, output: Tensor) -> Tensor:
    """Mean over the values of (target − output)²."""
    return ops.mean(ops.square(target - output), axis=_IMAGE_AXES)


def mean_absolute_error(target: Tensor, output: Tensor) -> Tensor:
    """Mean over the values of |target − output|.

    It asks for the median: on images that are mostly black, a model trained on it alone may end in
    black ones.
    """
    return ops.mean(ops.abs(target - output), axis=_IMAGE_AXES)


def huber(target: Tensor, output: Tensor) -> Tensor:
    """Mean over the values of Huber's loss (1964): e² / 2 where |e| ≤ δ, else δ·(|e| − δ / 2).

    δ is 0.1 in scaled units. A greater one would be half the squared error: hardly a value between
    0 and 1 is reconstructed worse than that.
    """
    error = ops.abs(target - output)
    within = ops.minimum(error, _HUBER_DELTA)
    return ops.mean(within * (error - 0.5 * within), axis=_IMAGE_AXES)


def binary_cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
    """Mean over the values of the cross-entropy, in nats; the target is clipped to [0, 1]."""
    target = ops.clip(target, 0.0, 1.0)
    return ops.mean(ops.softplus(logits) - target * logits, axis=_IMAGE_AXES)


# (N, H, W, C), (N, H, W, C) → (N,)
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": mean_squared_error,
    "mae": mean_absolute_error,
    "huber": huber,
    "bce": binary_cross_entropy,
    "ssim": structural_dissimilarity,
}
LOSSES_ON_LOGITS = frozenset({"bce"})
LOSSES_OF_UNIT_SCALING = ("bce", "ssim")


@dataclasses.dataclass(frozen=True)
class Loss:
    """A weighted sum of named losses."""

    weights: dict[str, float]

    @property
    def on_logits(self) -> bool:
        """Whether one of them is."""
        return not LOSSES_ON_LOGITS.isdisjoint(self.weights)

    def __call__(self, target: Tensor, image: Tensor, logits: Tensor) -> Tensor:
        """Images (N, H, W, C), and logits of the second where a loss is on them → (N,)."""
        terms = (
            weight * LOSSES[name](target, logits if name in LOSSES_ON_LOGITS else image)
            for name, weight in self.weights.items()
        )
        return sum(terms)


def parse_loss(text: str) -> Loss:
    """[WEIGHT*]NAME joined by `+`, such as `mse` or `mse+0.2*ssim`.

    Raises:
      ValueError: an unknown name, one that comes twice, or a weight that is no number above 0.
    """
    weights: dict[str, float] = {}
    for part in text.split("+"):
        before, star, after = (piece.strip() for piece in part.partition("*"))
        name = after if star else before
        if name not in LOSSES:
            raise ValueError(f"{name!r} is none of {', '.join(LOSSES)}")
        if name in weights:
            raise ValueError(f"{name!r} comes twice")
        weights[name] = _weight(before) if star else 1.0
    return Loss(weights)


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise ValueError(f"a weight must be a number greater than 0: {text!r}")
    return weight
