"""What `builtin:digits` gives, from scikit-learn itself."""

import numpy as np
from sklearn.datasets import load_digits

from ae_models.training.splits import id_hashes


def digit_pixels() -> np.ndarray:
    """All images, (1797, 8, 8, 1) uint8."""
    return np.rint(load_digits().images * (255 / 16)).astype(np.uint8)[..., None]


def digit_ids() -> list[str]:
    return [f"digits/{number}" for number in range(len(load_digits().target))]


def digit_splits(chosen: np.ndarray) -> np.ndarray:
    """The name of each record's split, (1797,), by the default shares, where those that are
    `chosen`, (1797,) bool, are trained on; empty of the others.

    Of the chosen, the tenth with the least hashes validates, and of what follows a tenth of them
    calibrates, or 99 where that is more and there are 220 of them.
    """
    names, numbers = np.full(len(chosen), "", "U11"), np.flatnonzero(chosen)
    ascending = numbers[np.argsort(id_hashes(digit_ids())[numbers])]
    tenth = round(0.1 * len(numbers))
    names[ascending[:tenth]] = "validation"
    held_out = tenth + (max(tenth, 99) if len(numbers) >= 220 else tenth)
    names[ascending[tenth:held_out]] = "calibration"
    names[ascending[held_out:]] = "train"
    return names
