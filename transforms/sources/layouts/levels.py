"""Arrays of grey levels that are not stored as uint8 or uint16."""

from typing import NamedTuple

import numpy as np

from ae_models.errors import InputError

_WHITES = {"uint8": 255, "uint16": 65535}


class Levels(NamedTuple):
    """How numbers become levels: `dtype` of the levels, the factor, and how far rounding may leave
    a product from a whole number."""

    dtype: np.dtype
    factor: int
    tolerance: float

    def of(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, ...) numbers → the same as levels, and (N,) bool, in which images every number is
        exactly a level; numbers that are not become zero."""
        if values.dtype == self.dtype:
            return values, np.ones(len(values), bool)
        products = values * np.float64(self.factor)
        levels = np.rint(products)
        fits = (levels >= 0) & (levels <= _WHITES[self.dtype.name])
        exact = np.logical_and(np.abs(products - levels) <= self.tolerance, fits)
        whole = np.asarray(exact.reshape(len(values), -1).all(axis=1))
        return np.where(exact, levels, 0).astype(self.dtype), whole


def find_levels(sample: np.ndarray) -> Levels:
    """How the numbers of an array become levels, determined from its first images.

    uint8 and uint16 are levels. Booleans are 0 and 255. Other integers, and floats of which some
    are greater than 1, are 8-bit levels, or 16-bit levels if one is greater than 255. Floats from
    0 to 1 are k / 255 if possible, otherwise k / 65535.

    Raises:
      InputError: they are not exact levels, or their scale is ambiguous.
    """
    kind, dtype = sample.dtype.kind, sample.dtype
    if dtype in (np.uint8, np.uint16):
        return Levels(dtype, 1, 0.0)
    if kind == "b":
        return Levels(np.dtype("uint8"), 255, 0.0)
    if kind not in "iuf":
        raise InputError(f"pixels must be uint8 or uint16. Received: {dtype}")
    low, high = (float(sample.min()), float(sample.max())) if sample.size else (0.0, 0.0)
    told = (
        f"pixels must be uint8 or uint16. Received: {dtype}, in the first images from {low:g} to "
        f"{high:g}"
    )
    if not (np.isfinite(low) and np.isfinite(high) and 0 <= low <= high <= _WHITES["uint16"]):
        raise InputError(f"{told}; scale and round them")
    is_fraction = kind == "f" and high <= 1
    if is_fraction and np.isin(sample, (0, 1)).all():
        raise InputError(f"{told}; whether 1 means white is ambiguous: convert them")
    for name, white in _WHITES.items():
        factor = white if is_fraction else 1
        tolerance = 2 * float(np.finfo(dtype).eps) * white if kind == "f" else 0.0
        levels = Levels(np.dtype(name), factor, tolerance)
        if tolerance < 0.5 and levels.of(sample)[1].all():
            return levels
    scale = "k / 255 or k / 65535" if is_fraction else "whole numbers"
    raise InputError(f"{told}, not all of them {scale}; scale and round them")
