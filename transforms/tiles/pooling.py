"""An image's outputs, computed from those of its tiles."""

from collections.abc import Mapping

import numpy as np

from ae_models.bundles.names import LATENTS

_MEAN, _STDDEV = LATENTS


def pooled(tiles: Mapping[str, np.ndarray], top: int) -> dict[str, np.ndarray]:
    """Pools the float32 latents, (N, d), and scores, (N,), of N tiles into those of the image: the
    mean latent, the root mean square of the standard deviations and, for each score, the mean of
    the `top` greatest (of all, if there are fewer)."""
    found = {}
    for name, values in tiles.items():
        exact = values.astype(np.float64)
        if name == _MEAN:
            pool = exact.mean(axis=0)
        elif name == _STDDEV:
            pool = np.sqrt(np.square(exact).mean(axis=0))
        else:
            pool = np.sort(exact)[-top:].mean()
        found[name] = np.asarray(pool, np.float32)
    return found
