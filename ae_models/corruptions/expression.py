"""Corruptions as the configuration writes them: `rotation`, `gaussian_noise:0.3+masking:0.2`.
Imports no Keras."""

import math
from typing import NamedTuple

from ae_models.corruptions.families import FACTS

_MOST_VIEWS = 64  # each is a pass through the model for every record that is scored


class Step(NamedTuple):
    """One corruption of an expression; `amount` 0 where its family has none."""

    name: str
    amount: float


def parse_corruption(text: str) -> tuple[Step, ...]:
    """The steps, in their order, of NAME[:AMOUNT] joined by `+`, amounts filled in.

    Raises:
      ValueError: an unknown name, an amount out of the family's range, or more than 64 views.
    """
    steps = tuple(_step(part.strip()) for part in text.split("+"))
    views = math.prod(FACTS[step.name].most_views for step in steps)
    if views > _MOST_VIEWS:
        raise ValueError(f"{text!r} has {views} views, more than {_MOST_VIEWS}")
    return steps


def _step(text: str) -> Step:
    name, colon, amount = (part.strip() for part in text.partition(":"))
    if name not in FACTS:
        raise ValueError(f"{name!r} is none of {', '.join(FACTS)}")
    amounts = FACTS[name].amounts
    if amounts is None:
        if colon:
            raise ValueError(f"{name} takes no amount: {text!r}")
        return Step(name, 0.0)
    value = _number(amount, text) if colon else amounts.default
    if not amounts.allows(value):
        raise ValueError(f"the amount of {name} must be {amounts.rule}: {text!r}")
    return Step(name, value)


def _number(text: str, step: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"the amount must be a number: {step!r}")
    return value
