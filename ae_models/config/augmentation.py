"""Augmentations as the configuration writes them: `flip`, `flip+shift:0.1`. Imports no Keras."""

import math
from collections.abc import Mapping
from typing import NamedTuple

# Greatest amount and default of each; None: there is nothing to choose.
AMOUNTS: Mapping[str, tuple[float, float] | None] = {
    "flip": None,
    "flip_vertical": None,
    "rotation": None,
    "shift": (0.5, 0.05),
    "brightness": (1.0, 0.1),
}
_NOTHING = "none"


class AugmentationStep(NamedTuple):
    """One of an expression; `amount` 0 where it has none."""

    name: str
    amount: float


def parse_augmentation(text: str) -> tuple[AugmentationStep, ...]:
    """The steps, in their order, of NAME[:AMOUNT] joined by `+`, amounts filled in; of `none` there
    are none.

    Raises:
      ValueError: an unknown name, one that comes twice, or an amount out of its range.
    """
    if text.strip() == _NOTHING:
        return ()
    steps = tuple(_step(part.strip()) for part in text.split("+"))
    names = [step.name for step in steps]
    if len(set(names)) < len(names):
        raise ValueError(f"a name comes twice: {text!r}")
    return steps


def augmentation_text(names: list[str]) -> str:
    """The inverse, of names alone."""
    return "+".join(names) or _NOTHING


def _step(text: str) -> AugmentationStep:
    name, colon, amount = (part.strip() for part in text.partition(":"))
    if name not in AMOUNTS:
        raise ValueError(f"{name!r} is none of {', '.join((_NOTHING, *AMOUNTS))}")
    amounts = AMOUNTS[name]
    if amounts is None:
        if colon:
            raise ValueError(f"{name} takes no amount: {text!r}")
        return AugmentationStep(name, 0.0)
    most, default = amounts
    value = _number(amount) if colon else default
    if not 0 < value <= most:
        raise ValueError(f"the amount of {name} must be above 0 and at most {most:g}: {text!r}")
    return AugmentationStep(name, value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
