"""Expressions of steps as the configuration writes them: NAME[:AMOUNT] joined by `+`, such as
`flip+shift:0.1`. Does not import Keras."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Amounts(NamedTuple):
    """The amounts that a step accepts."""

    default: float
    rule: str
    allows: Callable[[float], bool]

    @classmethod
    def up_to(cls, most: float, default: float) -> "Amounts":
        """Any amount above 0, up to `most`."""
        rule = f"greater than 0 and at most {most:g}"
        return cls(default, rule, lambda amount: 0 < amount <= most)


class Step(NamedTuple):
    """One step of an expression; `amount` is 0 if the step takes none."""

    name: str
    amount: float


def parse_steps(text: str, known: Mapping[str, Amounts | None]) -> tuple[Step, ...]:
    """The steps, in order, with default amounts filled in.

    Args:
      text: the expression.
      known: the amounts that each name takes; None if it takes none.

    Raises:
      ValueError: an unknown name, or an amount out of range.
    """
    return tuple(_step(part.strip(), known) for part in text.split("+"))


def _step(text: str, known: Mapping[str, Amounts | None]) -> Step:
    name, colon, amount = (part.strip() for part in text.partition(":"))
    if name not in known:
        raise ValueError(f"{name!r} is not one of {', '.join(known)}")
    amounts = known[name]
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
