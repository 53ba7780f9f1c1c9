"""Chooses augmentations that help, as measured with principal components."""

import numpy as np

from ae_models.config.augmentation import (
    AMOUNTS,
    augmentation_text,
    parse_augmentation,
)
from ae_models.config.steps import Step
from ae_models.ops.principal_components import PrincipalComponents
from ae_models.training.image_store import ImageStore
from ae_models.training.preprocessing import Preprocessing
from ae_models.training.principal_components import sample, with_augmented

_FITTED_RECORDS, _TRIED_RECORDS, _LEAST_TRIED, _BYTES = 1000, 500, 16, 32 << 20
_MOST_CHOSEN = 3  # each one doubles the data to which components are fitted
_GAIN, _STANDARD_ERRORS = 0.01, 2.0


def helpful_augmentation(
    preprocessing: Preprocessing,
    train: ImageStore,
    validation: ImageStore,
    *,
    components: int,
    seed: int,
) -> str:
    """The expression of the augmentations with which principal components of training records
    better reconstruct validation records. They are added one at a time, the most helpful first, up
    to three, as long as the mean squared error falls by a hundredth and by two standard errors of
    that difference.

    Args:
      preprocessing: converts pixels to scaled images.
      train, validation: the records, of which up to 1,000 and 500 are used.
      components: the number of components.
      seed: for all draws.

    Returns:
      NAME joined by `+`, or `none`; always `none` with fewer than 16 usable validation records.
    """
    tried = sample(preprocessing, validation, _BYTES, _TRIED_RECORDS)
    if len(tried) < _LEAST_TRIED:
        return augmentation_text([])
    fitted = sample(preprocessing, train, _BYTES, _FITTED_RECORDS)

    def errors(names: list[str]) -> np.ndarray:
        (images,) = with_augmented([fitted], _steps(names), seed)
        return PrincipalComponents.of(images, components, seed).squared_errors(tried)

    chosen: list[str] = []
    best = errors(chosen)
    while len(chosen) < _MOST_CHOSEN:
        others = [name for name in AMOUNTS if name not in chosen]
        found = {name: errors([*chosen, name]) for name in others}
        name = min(others, key=lambda other: float(found[other].mean()))
        if not _is_better(found[name], best):
            break
        chosen.append(name)
        best = found[name]
    return augmentation_text(chosen)


def _steps(names: list[str]) -> tuple[Step, ...]:
    return parse_augmentation(augmentation_text(names))


def _is_better(errors: np.ndarray, before: np.ndarray) -> bool:
    gains = before - errors
    standard_error = float(gains.std(ddof=1)) / np.sqrt(len(gains))
    mean = float(gains.mean())
    return mean > _GAIN * float(before.mean()) and mean > _STANDARD_ERRORS * standard_error
