"""Corruptions as written in the configuration: `rotation`, `gaussian_noise:0.3+masking:0.2`.
Does not import Keras."""

import math
from collections.abc import Iterable

from ae_models.config.steps import Step, parse_steps
from ae_models.corruptions.families import FACTS

NOTHING = "none"
_MOST_VIEWS = 64  # each is a pass through the model for every scored record


def parse_corruption(text: str) -> tuple[Step, ...]:
    """The steps of an expression, in order; empty for `none`.

    Raises:
      ValueError: an unknown name, an amount out of the family's range, or more than 64 views.
    """
    if text.strip() == NOTHING:
        return ()
    steps = parse_steps(text, {name: facts.amounts for name, facts in FACTS.items()})
    views = math.prod(FACTS[step.name].most_views for step in steps)
    if views > _MOST_VIEWS:
        raise ValueError(f"{text!r} has {views} views, more than {_MOST_VIEWS}")
    return steps


def corruption_text(steps: Iterable[Step]) -> str:
    """The inverse of `parse_corruption`."""
    texts = (f"{step.name}:{step.amount!r}" if step.amount else step.name for step in steps)
    return "+".join(texts) or NOTHING
