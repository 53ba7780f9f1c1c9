"""An image's outputs, made of those of its tiles."""

from collections.abc import Mapping

import numpy as np

from ae_models.bundles.names import LATENTS

_MEAN, _STDDEV = LATENTS


def pooled(tiles: Mapping[str, np.ndarray], top: int) -> dict[str, np.ndarray]:
    """Of N tiles' latents, (N, d), and scores, (N,), float32, those of the image: the mean latent,
    the root of the mean squared standard deviation, and of each score the mean of the `top`
    greatest, or of all where there are fewer."""
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
