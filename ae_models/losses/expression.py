"""Weighted sums of losses as written in the configuration: `mse`, `0.5*bce+ssim`. Does not import
Keras."""

import dataclasses
import math
from collections.abc import Callable

from ae_models.config.family import Family
from ae_models.ops.tensor import Tensor

# (N, H, W, C), (N, H, W, C) → (N,)
LOSSES: Family[Callable[[Tensor, Tensor], Tensor]] = Family(
    {
        "mse": "ae_models.losses.losses:mean_squared_error",
        "mae": "ae_models.losses.losses:mean_absolute_error",
        "huber": "ae_models.losses.losses:huber",
        "bce": "ae_models.losses.losses:binary_cross_entropy",
        "ssim": "ae_models.ops.ssim:structural_dissimilarity",
    }
)
ON_LOGITS = frozenset({"bce"})
OF_UNIT_SCALING = ("bce", "ssim")


@dataclasses.dataclass(frozen=True)
class Loss:
    """A weighted sum of named losses."""

    weights: dict[str, float]

    @property
    def on_logits(self) -> bool:
        """Whether any of the losses takes logits."""
        return not ON_LOGITS.isdisjoint(self.weights)

    def __call__(self, target: Tensor, image: Tensor, logits: Tensor) -> Tensor:
        """Images (N, H, W, C), and logits of the second for losses that take logits → (N,)."""
        terms = (
            weight * LOSSES[name](target, logits if name in ON_LOGITS else image)
            for name, weight in self.weights.items()
        )
        return sum(terms)


def parse_loss(text: str) -> Loss:
    """[WEIGHT*]NAME joined by `+`, such as `mse` or `mse+0.2*ssim`.

    Raises:
      ValueError: an unknown name, a repeated name, or a weight that is not a number above 0.
    """
    weights: dict[str, float] = {}
    for part in text.split("+"):
        before, star, after = (piece.strip() for piece in part.partition("*"))
        name = after if star else before
        if name not in LOSSES:
            raise ValueError(f"{name!r} is not one of {', '.join(LOSSES)}")
        if name in weights:
            raise ValueError(f"{name!r} is repeated")
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
