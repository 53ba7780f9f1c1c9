"""What is in the file that a training is kept in."""

from pathlib import Path

import numpy as np


def best_weights(file: Path) -> list[np.ndarray]:
    """The best weights so far, in the order of the model's."""
    with np.load(file) as arrays:
        count = sum(name.startswith("best_") for name in arrays.files)
        return [arrays[f"best_{n}"] for n in range(count)]
