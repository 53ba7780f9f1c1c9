"""Which records train, validate and calibrate: decided by the ranks of the hashes of their ids."""

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from ae_models.calibration.p_values import least_to_flag
from ae_models.errors import InputError

TRAIN, VALIDATION, CALIBRATION = "train", "validation", "calibration"
SPLITS = (TRAIN, VALIDATION, CALIBRATION)
LEAST_RECORDS = 8  # of each split, below which its numbers mean nothing
_BY_RANK = (VALIDATION, CALIBRATION, TRAIN)  # from the least hash


def id_hashes(ids: Iterable[str]) -> np.ndarray:
    """A uniform 64-bit hash of each id, (N,) uint64; the same on every machine and in every run."""
    digests = (hashlib.blake2b(str(i).encode(), digest_size=8).digest() for i in ids)
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def split_sizes(
    records: int, validation_share: float, calibration_share: float, fpr: float
) -> dict[str, int]:
    """How many of so many records each split has: the shares of all, rounded, but at least 8.

    Args:
      fpr: at which records will be flagged; the message says how many that takes.

    Raises:
      InputError: there are not 8 for each.
    """
    validation, calibration = (
        max(LEAST_RECORDS, round(share * records))
        for share in (validation_share, calibration_share)
    )
    sizes = {
        TRAIN: records - validation - calibration,
        VALIDATION: validation,
        CALIBRATION: calibration,
    }
    if sizes[TRAIN] < LEAST_RECORDS:
        raise InputError(too_few(records, fpr))
    return sizes


def too_few(records: int, fpr: float) -> str:
    """Why so few records cannot be trained on, and what more would allow."""
    return (
        f"too few records to train on: {records:,}; it takes {3 * LEAST_RECORDS} at least, "
        f"{LEAST_RECORDS} each to train, validate and calibrate, which give no p-value below "
        f"{1 / (LEAST_RECORDS + 1):.2g}; to flag any at fpr {fpr:g} takes "
        f"{least_to_flag(fpr):,} to calibrate alone"
    )


class SplitOrder:
    """The order of all records, by the hash of the id, of which each split is a range.

    The same ids give the same splits, in whatever order they come. Records of one id stay on one
    side: a split's range ends before those that would be parted. Memory: 8 bytes a record.

    Args:
      hashes: of all records' ids, (N,) uint64.
      sizes: how many records each split is to have, N together.
    """

    def __init__(self, hashes: np.ndarray, sizes: Mapping[str, int]):
        self._sorted = np.sort(hashes)
        self.ranges: dict[str, range] = {}
        start = end = 0
        for split in _BY_RANK:
            end += sizes.get(split, 0)
            stop = self._first_of_id(end)
            self.ranges[split] = range(start, stop)
            start = stop

    @property
    def sizes(self) -> dict[str, int]:
        """How many records each split has."""
        return {split: len(self.ranges[split]) for split in SPLITS}

    def __len__(self) -> int:
        return len(self._sorted)

    def ranker(self) -> "Ranker":
        """Gives each record its rank, as often as all records are gone through."""
        return Ranker(self._sorted)

    def _first_of_id(self, rank: int) -> int:
        if rank >= len(self):
            return len(self)
        return int(np.searchsorted(self._sorted, self._sorted[rank], side="left"))


class Ranker:
    """Ranks of records that come in parts: of one id, the first to come is the lower one.

    Args:
      ascending: the hashes of all, (N,) uint64.
    """

    def __init__(self, ascending: np.ndarray):
        self._sorted = ascending
        # Of each hash that occurs several times, how many records came already.
        repeated = ascending[1:][ascending[1:] == ascending[:-1]]
        self._seen = dict.fromkeys(repeated.tolist(), 0)

    def __call__(self, hashes: np.ndarray) -> np.ndarray:
        """(n,) uint64 → (n,) int64, each of which is given once."""
        ranks = np.searchsorted(self._sorted, hashes, side="left").astype(np.int64)
        if self._seen:
            for place, value in enumerate(hashes.tolist()):
                if value in self._seen:
                    ranks[place] += self._seen[value]
                    self._seen[value] += 1
        return ranks
