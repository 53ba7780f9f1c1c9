"""Augmentations as the configuration writes them: `flip`, `flip+shift:0.1`. Imports no Keras."""

from collections.abc import Iterable, Mapping

from ae_models.config.steps import Amounts, Step, parse_steps

AMOUNTS: Mapping[str, Amounts | None] = {
    "flip": None,
    "flip_vertical": None,
    "rotation": None,
    "shift": Amounts.up_to(0.5, default=0.05),
    "brightness": Amounts.up_to(1.0, default=0.1),
}
_NOTHING = "none"


def parse_augmentation(text: str) -> tuple[Step, ...]:
    """The steps of an expression, in their order; of `none` there are none.

    Raises:
      ValueError: an unknown name, one that comes twice, or an amount out of its range.
    """
    if text.strip() == _NOTHING:
        return ()
    steps = parse_steps(text, AMOUNTS)
    if len({step.name for step in steps}) < len(steps):
        raise ValueError(f"a name comes twice: {text!r}")
    return steps


def augmentation_text(names: Iterable[str]) -> str:
    """The inverse, of names alone."""
    return "+".join(names) or _NOTHING
