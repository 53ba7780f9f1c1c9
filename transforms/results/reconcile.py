"""Comparing two sets of ids of any size in bounded memory."""

import dataclasses
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

IdBatches = Callable[[], Iterable[list[str]]]
_DIGEST_BYTES = 16
PARTITIONS = 256  # one per first byte of the digest; one is in memory at a time
_EXAMPLES = 10
_DIGEST = np.dtype((np.void, _DIGEST_BYTES))


@dataclasses.dataclass(frozen=True)
class Differences:
    """How two multisets of ids differ, with examples of the ids of each kind."""

    expected: int
    found: int
    missing: int
    unexpected: int
    repeated: int
    examples: dict[str, list[str]]

    @property
    def none(self) -> bool:
        """Whether each expected id was found exactly once, and no other."""
        return self.expected == self.found and not (
            self.missing or self.unexpected or self.repeated
        )


def reconcile(expected: IdBatches, found: IdBatches) -> Differences:
    """Finds ids that are expected but not found, found but not expected, or found repeatedly.

    Ids are compared by 128-bit digests, partitioned on disk. Each argument must yield the same ids
    at every call; it is called again only to name the ids that differ.
    """
    with tempfile.TemporaryDirectory() as folder:
        left = DigestPartitions(Path(folder) / "expected", expected())
        right = DigestPartitions(Path(folder) / "found", found())
        missing, unexpected, repeated = [], [], []
        for partition in range(PARTITIONS):
            ours, _ = left.load(partition)
            theirs, counts = right.load(partition)
            missing.append(np.setdiff1d(ours, theirs, assume_unique=True))
            unexpected.append(np.setdiff1d(theirs, ours, assume_unique=True))
            repeated.append(theirs[counts > 1])
        groups = {
            "missing": (np.concatenate(missing), expected),
            "unexpected": (np.concatenate(unexpected), found),
            "repeated": (np.concatenate(repeated), found),
        }
        return Differences(
            expected=left.count,
            found=right.count,
            **{name: len(digests) for name, (digests, _) in groups.items()},
            examples={
                name: _names(digests, batches())
                for name, (digests, batches) in groups.items()
                if len(digests)
            },
        )


class DigestPartitions:
    """The digests of ids, in `PARTITIONS` files by their first byte.

    Args:
      folder: the folder for the files, which is created.
      batches: the ids.
    """

    def __init__(self, folder: Path, batches: Iterable[list[str]]):
        folder.mkdir()
        self._folder, self.count = folder, 0
        for ids in batches:
            if ids:
                self._append(_digests(ids))
                self.count += len(ids)

    def _append(self, digests: np.ndarray) -> None:
        first_bytes = digests.view(np.uint8).reshape(-1, _DIGEST_BYTES)[:, 0]
        order = np.argsort(first_bytes, kind="stable")
        partitions, starts = np.unique(first_bytes[order], return_index=True)
        for partition, part in zip(partitions, np.split(digests[order], starts[1:]), strict=True):
            with self._path(partition).open("ab") as file:
                file.write(part.tobytes())

    def _path(self, partition: int) -> Path:
        return self._folder / f"{partition:03d}"

    def load(self, partition: int) -> tuple[np.ndarray, np.ndarray]:
        """The distinct digests of a partition, and how often each occurs."""
        path = self._path(partition)
        content = path.read_bytes() if path.exists() else b""
        return np.unique(np.frombuffer(content, _DIGEST), return_counts=True)


def _digests(ids: list[str]) -> np.ndarray:
    digests = (hashlib.blake2b(i.encode(), digest_size=_DIGEST_BYTES).digest() for i in ids)
    return np.frombuffer(b"".join(digests), _DIGEST)


def _names(digests: np.ndarray, batches: Iterable[list[str]]) -> list[str]:
    wanted = {digest.tobytes() for digest in digests[:_EXAMPLES]}
    return sorted(set(_matching(wanted, batches)))


def _matching(wanted: set[bytes], batches: Iterable[list[str]]) -> Iterator[str]:
    for ids in batches:
        for name, digest in zip(ids, _digests(ids), strict=True):
            if digest.tobytes() in wanted:
                yield name
