"""Corruptions as the configuration writes them: `rotation`, `gaussian_noise:0.3+masking:0.2`."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ae_models.corruptions.blur import Blur
from ae_models.corruptions.clip import Clip
from ae_models.corruptions.composition import Composition
from ae_models.corruptions.corruption import Corruption
from ae_models.corruptions.cutout import Cutout
from ae_models.corruptions.gaussian_noise import GaussianNoise, RandomGaussianNoise
from ae_models.corruptions.greyscale import Greyscale
from ae_models.corruptions.masking import Masking
from ae_models.corruptions.rotation import Rotation
from ae_models.corruptions.salt_and_pepper import SaltAndPepper

CORRUPTIONS: Mapping[str, type[Corruption]] = {
    corruption.family: corruption
    for corruption in (
        GaussianNoise,
        RandomGaussianNoise,
        Masking,
        SaltAndPepper,
        Blur,
        Greyscale,
        Rotation,
        Cutout,
        Clip,
    )
}
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
    views = math.prod(CORRUPTIONS[step.name].most_views for step in steps)
    if views > _MOST_VIEWS:
        raise ValueError(f"{text!r} has {views} views, more than {_MOST_VIEWS}")
    return steps


def _step(text: str) -> Step:
    name, colon, amount = (part.strip() for part in text.partition(":"))
    if name not in CORRUPTIONS:
        raise ValueError(f"{name!r} is none of {', '.join(CORRUPTIONS)}")
    amounts = CORRUPTIONS[name].amounts
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


def build_corruption(steps: Iterable[Step], seeds: Iterator[int]) -> Composition:
    """The steps as one layer: (N, H, W, C) float32 → the same shape."""
    return Composition([CORRUPTIONS[name](amount, next(seeds)) for name, amount in steps])
