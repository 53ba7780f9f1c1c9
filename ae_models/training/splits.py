"""Which records train, validate and calibrate: decided by a hash of the record id alone."""

import hashlib
from collections.abc import Iterable

import numpy as np

TRAIN, VALIDATION, CALIBRATION = "train", "validation", "calibration"
SPLITS = (TRAIN, VALIDATION, CALIBRATION)


def id_hashes(ids: Iterable[str]) -> np.ndarray:
    """A uniform 64-bit hash of each id, (N,) uint64; the same on every machine and in every run."""
    digests = (hashlib.blake2b(str(i).encode(), digest_size=8).digest() for i in ids)
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def assign_splits(
    hashes: np.ndarray, validation_share: float, calibration_share: float
) -> np.ndarray:
    """The name of each record's split, (N,), from its hash, (N,) uint64."""
    position = hashes / 2.0**64
    held_out = position < validation_share + calibration_share
    names = np.where(position < validation_share, VALIDATION, CALIBRATION)
    return np.where(held_out, names, TRAIN)
