"""What `builtin:digits` gives, from scikit-learn itself."""

import numpy as np
from sklearn.datasets import load_digits

from ae_models.training.splits import assign_splits, id_hashes


def digit_pixels() -> np.ndarray:
    """All images, (1797, 8, 8, 1) uint8."""
    return np.rint(load_digits().images * (255 / 16)).astype(np.uint8)[..., None]


def digit_ids() -> list[str]:
    return [f"digits/{number}" for number in range(len(load_digits().target))]


def digit_splits() -> np.ndarray:
    """The name of each record's split, by the default shares."""
    return assign_splits(id_hashes(digit_ids()), 0.1, 0.1)
