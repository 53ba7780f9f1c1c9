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
    """The steps of an expression, in order; `none` gives no steps.

    Raises:
      ValueError: an unknown name, a repeated name, or an amount out of range.
    """
    if text.strip() == _NOTHING:
        return ()
    steps = parse_steps(text, AMOUNTS)
    if len({step.name for step in steps}) < len(steps):
        raise ValueError(f"a name is repeated: {text!r}")
    return steps


def augmentation_text(names: Iterable[str]) -> str:
    """The inverse of `parse_augmentation`, for names without amounts."""
    return "+".join(names) or _NOTHING
