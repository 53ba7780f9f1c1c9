"""Ranks values among all half floats: histogram bins that fit any map."""

import numpy as np

CODES = 1 << 16
_SIGN = np.uint16(1 << 15)


def codes(values: np.ndarray) -> np.ndarray:
    """(...) float16 or float32 → (...) uint16, in the order of the values as half floats; 0, the
    least code, for NaN."""
    with np.errstate(over="ignore", invalid="ignore"):  # infinity and NaN have codes
        halves = np.asarray(values, np.float16) + np.float16(0.0)  # −0 is 0
    bits = halves.view(np.uint16)
    ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return np.where(np.isnan(halves), np.uint16(0), ordered)


def half_float(code: int) -> float:
    """The value of a code."""
    bits = code & ~int(_SIGN) if code & int(_SIGN) else ~code & 0xFFFF
    return float(np.uint16(bits).view(np.float16))
