"""Assigns records to training, validation and calibration by the ranks of the hashes of their ids
or of their groups."""

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from ae_models.calibration.p_values import least_to_flag, usual_calibration
from ae_models.errors import InputError

TRAIN, VALIDATION, CALIBRATION = "train", "validation", "calibration"
SPLITS = (TRAIN, VALIDATION, CALIBRATION)
LEAST_RECORDS = 8  # in each split; with fewer, its figures are meaningless
_BY_RANK = (VALIDATION, CALIBRATION, TRAIN)  # from the least hash


def id_hashes(ids: Iterable[str]) -> np.ndarray:
    """A uniform 64-bit hash of each id, (N,) uint64; the same on every machine and in every run."""
    digests = (hashlib.blake2b(str(i).encode(), digest_size=8).digest() for i in ids)
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def split_sizes(
    records: int, validation_share: float, calibration_share: float | None, fpr: float
) -> dict[str, int]:
    """The number of records in each split: the shares of all, rounded, but at least 8.

    Args:
      calibration_share: None: by `usual_calibration`, leaving at least 8 to train.
      fpr: the rate at which records will be flagged, for the error message.

    Raises:
      InputError: there are fewer than 8 for a split.
    """
    validation = max(LEAST_RECORDS, round(validation_share * records))
    held_out = (
        min(usual_calibration(records, fpr), records - validation - LEAST_RECORDS)
        if calibration_share is None
        else round(calibration_share * records)
    )
    calibration = max(LEAST_RECORDS, held_out)
    sizes = {
        TRAIN: records - validation - calibration,
        VALIDATION: validation,
        CALIBRATION: calibration,
    }
    if sizes[TRAIN] < LEAST_RECORDS:
        raise InputError(too_few(records, fpr))
    return sizes


def sizes_of_groups(keys: np.ndarray, groups: Mapping[str, int]) -> dict[str, int]:
    """The number of records in each split with the given number of groups.

    Args:
      keys: hashes of all records' groups, (N,) uint64.
      groups: the number of groups in each split, all of them in total.
    """
    records = np.unique(keys, return_counts=True)[1]
    ends = np.cumsum([groups[split] for split in _BY_RANK])
    parts = np.split(records, ends[:-1])
    return {split: int(part.sum()) for split, part in zip(_BY_RANK, parts, strict=True)}


def too_few(records: int, fpr: float) -> str:
    """The message for too few records to train on, with the numbers needed."""
    return (
        f"too few records to train on: {records:,}. At least {3 * LEAST_RECORDS} are needed, "
        f"{LEAST_RECORDS} each to train, validate and calibrate, which give no p-value below "
        f"{1 / (LEAST_RECORDS + 1):.2g}; flagging any at fpr {fpr:g} needs "
        f"{least_to_flag(fpr):,} for calibration alone"
    )


def too_few_groups(order: "SplitOrder", column: str) -> str:
    """The message for groups that are too few or too large to train on."""
    groups = sum(order.groups.values())
    if groups < len(SPLITS):
        return (
            f"training.group: too few values of {column!r}: {groups}. At least {len(SPLITS)} are "
            "needed, one each to train, validate and calibrate"
        )
    sizes = ", ".join(f"{size:,} {split}" for split, size in order.sizes.items())
    return (
        f"training.group: {column!r} leaves too few records in a split: {sizes}. Each split needs "
        f"{LEAST_RECORDS}, and groups must be smaller than the splits"
    )


def group_advice(order: "SplitOrder", column: str) -> str | None:
    """One line of advice if a split differs from its intended size by more than half because its
    groups are large, or None."""
    wanted, sizes = order.wanted, order.sizes
    if all(2 * abs(sizes[split] - wanted[split]) <= wanted[split] for split in SPLITS):
        return None
    told = ", ".join(f"{sizes[split]:,} {split}, not {wanted[split]:,}" for split in SPLITS)
    return (
        f"the groups of training.group {column!r} are too large for splits of the intended sizes: "
        f"{told} records; use a column with more and smaller groups, if there is one"
    )


class SplitOrder:
    """The order of all records, in which each split is a range.

    A key, the hash of a record's group or id, determines its split. Splits take the keys in
    ascending order, and records with one key stay together: a held-out split ends with the key that
    fills it, but leaves one for each split that follows. Within a split records are in the order of
    their ids' hashes, so that the first of them are a random part, whatever the groups.

    The same records give the same splits, in whatever order they come. Memory: 8 bytes per record.

    Args:
      hashes: hashes of all records' ids, (N,) uint64.
      wanted: the intended number of records in each split, N in total.
      keys: hashes of the same records' groups, (N,) uint64; None: of their ids.

    Attributes:
      ranges: the ranks of each split's records.
      groups: the number of keys in each split.
    """

    def __init__(
        self, hashes: np.ndarray, wanted: Mapping[str, int], keys: np.ndarray | None = None
    ):
        self.wanted = dict(wanted)
        ascending = np.sort(hashes if keys is None else keys)
        self.ranges = _ranges(ascending, wanted)
        self.groups = {split: _distinct(ascending[_slice(self.ranges[split])]) for split in SPLITS}
        filled = [within for within in self.ranges.values() if within]
        self._last_keys = ascending[[within.stop - 1 for within in filled]]
        self._parts = [ascending[_slice(within)] for within in filled]
        if keys is not None:
            part = np.searchsorted(self._last_keys, keys)
            self._parts = [np.sort(hashes[part == number]) for number in range(len(filled))]

    @property
    def sizes(self) -> dict[str, int]:
        """The number of records in each split."""
        return {split: len(self.ranges[split]) for split in SPLITS}

    def ranker(self) -> "Ranker":
        """A new function that ranks each record, for one pass over all records."""
        return Ranker(self._last_keys, self._parts)


def _ranges(ascending: np.ndarray, wanted: Mapping[str, int]) -> dict[str, range]:
    ranges, start = {}, 0
    for number, split in enumerate(_BY_RANK):
        stop = end = start + wanted.get(split, 0)
        if end > start:
            later = sum(wanted.get(other, 0) > 0 for other in _BY_RANK[number + 1 :])
            last = ascending[min(end, len(ascending)) - 1]
            stop = int(np.searchsorted(ascending, last, side="right"))
            stop = max(start, min(stop, _start_of_last(ascending, later)))
        ranges[split] = range(start, stop)
        start = stop
    return ranges


def _start_of_last(ascending: np.ndarray, keys: int) -> int:
    """The start of the last `keys` distinct keys."""
    start = len(ascending)
    for _ in range(keys):
        if start:
            start = int(np.searchsorted(ascending, ascending[start - 1], side="left"))
    return start


def _distinct(ascending: np.ndarray) -> int:
    return int(np.count_nonzero(ascending[1:] != ascending[:-1])) + (len(ascending) > 0)


def _slice(within: range) -> slice:
    return slice(within.start, within.stop)


class Ranker:
    """Ranks records that arrive in parts.

    Args:
      last_keys: the greatest key of each split that has any, (S,) uint64, ascending.
      parts: for the same splits, the hashes of their records' ids, ascending.
    """

    def __init__(self, last_keys: np.ndarray, parts: Iterable[np.ndarray]):
        self._last_keys = last_keys
        self._places = [_Places(part) for part in parts]

    def __call__(self, hashes: np.ndarray, keys: np.ndarray | None = None) -> np.ndarray:
        """Hashes of ids and, if records are grouped, of groups, (n,) uint64 → distinct ranks, (n,)
        int64."""
        part = np.searchsorted(self._last_keys, hashes if keys is None else keys)
        ranks, start = np.empty(len(hashes), np.int64), 0
        for number, places in enumerate(self._places):
            rows = part == number
            ranks[rows] = start + places(hashes[rows])
            start += len(places)
        return ranks


class _Places:
    """Ranks within one split: of records with equal hashes, the first to arrive has the lower."""

    def __init__(self, ascending: np.ndarray):
        self._sorted = ascending
        # For each hash that occurs several times, the number of records that have arrived.
        repeated = ascending[1:][ascending[1:] == ascending[:-1]]
        self._seen = dict.fromkeys(repeated.tolist(), 0)

    def __len__(self) -> int:
        return len(self._sorted)

    def __call__(self, hashes: np.ndarray) -> np.ndarray:
        places = np.searchsorted(self._sorted, hashes, side="left").astype(np.int64)
        if self._seen:
            for row, value in enumerate(hashes.tolist()):
                if value in self._seen:
                    places[row] += self._seen[value]
                    self._seen[value] += 1
        return places
