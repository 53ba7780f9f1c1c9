"""Checks of latents before computing with them, wherever they come from."""

import numpy as np

from ae_models.errors import InputError


def check_latents(
    latents: np.ndarray, stddevs: np.ndarray | None = None, size: int | None = None
) -> None:
    """Raises InputError unless latents are (N, d) and finite, standard deviations are finite and
    not negative, and d is `size`, if given."""
    if latents.ndim != 2 or size not in (None, latents.shape[1]):
        raise InputError(f"expected latents of {size} numbers. Received: {latents.shape[1:]}")
    if stddevs is not None and stddevs.shape != latents.shape:
        raise InputError(
            f"latents and latent_stddev must have the same shape. Received: {latents.shape} and "
            f"{stddevs.shape}"
        )
    if not np.isfinite(latents).all():
        raise InputError("a record's latent is not finite")
    if stddevs is not None and not (np.isfinite(stddevs).all() and (stddevs >= 0).all()):
        raise InputError("a record's latent_stddev is negative or not finite")
