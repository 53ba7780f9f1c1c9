"""Dividing the inputs of a run into parts, each scored and committed separately."""

import dataclasses
import functools
import hashlib
import itertools
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow.compute as pc

from transforms.records.batches import IMAGE, BatchLimits
from transforms.records.passed_over import PassedOver
from transforms.records.text import printable
from transforms.sources import Source
from transforms.sources.source import Listing
from transforms.storage.files import FileStates, exists

_SAMPLE = BatchLimits(rows=100)  # from which the bytes per record are estimated
_USUAL_BYTES = 16 << 10  # per record, if the sample has no image


@dataclasses.dataclass(frozen=True)
class Part:
    """Consecutive tasks, in listing order.

    Attributes:
      number: the part's number, from 0.
      tasks: the tasks, each with its source.
      passed_over: what was passed over while finding them.
      records: the number of records: counted or, if a listing does not state it, estimated.
      files: `STATE PATH` of each file of each task, with the state from `FileStates`.
    """

    number: int
    tasks: tuple[tuple[Source, Any], ...]
    passed_over: PassedOver
    records: int
    files: tuple[str, ...]

    @functools.cached_property
    def digest(self) -> str:
        """A digest that changes with any of the files, their number or their order."""
        return hashlib.sha256(_joined(self.files)).hexdigest()

    def packed_files(self) -> bytes:
        """The files for `first_change`, compressed to about 20 bytes each."""
        return zlib.compress(_joined(self.files))


def divided(sources: Sequence[Source], records: int) -> Iterator[Part]:
    """Yields parts of at least `records` records each, except the last. The same inputs give the
    same parts. One part is in memory at a time; its files are inspected as it is created.

    Raises:
      InputError: an input does not exist, or is not of its kind.
    """
    tasks: list[tuple[Source, Any]] = []
    files: list[str] = []
    passed_over, found = PassedOver(), 0
    numbers = itertools.count()
    for source, listing, count, states in _listed(sources):
        if listing.task is not None and found >= records:
            yield Part(next(numbers), tuple(tasks), passed_over, found, tuple(files))
            tasks, files, passed_over, found = [], [], PassedOver(), 0
        if listing.passed_over is not None:
            passed_over.update(listing.passed_over)
        found += count
        if listing.task is not None:
            tasks.append((source, listing.task))
            files += states
    yield Part(next(numbers), tuple(tasks), passed_over, found, tuple(files))


def first_change(packed: bytes, files: Sequence[str]) -> str:
    """A sentence on the first difference between the files stored by `packed_files` and a part's
    current files."""
    before = zlib.decompress(packed).decode("utf-8", "surrogateescape").split("\0")
    pairs = itertools.zip_longest(before, files)
    old, new = next(((old, new) for old, new in pairs if old != new), ("", ""))
    # A new file may have moved an old one into the next part.
    if old and _path(old) not in map(_path, files) and not exists(_path(old)):
        return f"{printable(_path(old))} is gone"
    if new and _path(new) not in map(_path, before):
        return f"{printable(_path(new))} is new"
    return f"{printable(_path(new or old))} was changed"


def _joined(files: Sequence[str]) -> bytes:
    return "\0".join(files).encode("utf-8", "surrogateescape")


def _path(line: str) -> str:
    """The path in a line `SIZE TIME PATH`."""
    return line.split(" ", 2)[-1]


def _listed(sources: Sequence[Source]) -> Iterator[tuple[Source, Listing, int, list[str]]]:
    """Each listing with its number of records and the lines of its files."""
    for source in sources:
        states, mean = FileStates(source.path), None
        for listing in source.listings():
            if listing.task is None:
                yield source, listing, 0, []
                continue
            paths = source.paths(listing.task)
            count = listing.records
            if count is None:
                mean = mean or _bytes_a_record(source, listing.task)
                count = max(1, sum(map(states.size, paths)) // mean)
            yield source, listing, count, [f"{states.state(path)} {path}" for path in paths]


def _bytes_a_record(source: Source, task: Any) -> int:
    """The mean image size of a task's first records, in bytes."""
    batch = next(source.read(task, _SAMPLE), None)
    if batch is None or not (size := pc.sum(pc.binary_length(batch.column(IMAGE))).as_py()):
        return _USUAL_BYTES
    return max(1, size // (len(batch) - batch.column(IMAGE).null_count))
