"""One integer seed per layer, all derived from one: no global random state."""

from collections.abc import Iterator

import numpy as np


def layer_seeds(seed: int) -> Iterator[int]:
    """An endless, reproducible stream of seeds for initialisers and random layers."""
    generator = np.random.default_rng(seed)
    while True:
        yield int(generator.integers(2**31 - 1))
