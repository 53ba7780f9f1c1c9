"""Samples an input's records from all over it, because folders and shards are often sorted by
class, camera or day."""

import bisect
import contextlib
import dataclasses
import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from transforms.reading.read import read_task
from transforms.records.batches import ID, IMAGE, BatchLimits
from transforms.records.where import Where
from transforms.sources import Source

_MOST_TASKS = 4096  # per source: two million image files
_MOST_SHARDS = 32  # from which records are taken, if each has enough
_READ_PER_TAKEN = 8  # records read per record taken: few may match the conditions
_MOST_BYTES = 1 << 30  # of images
_LIMITS = BatchLimits(rows=64)
# Every eighth record, then those between: a sample that the byte limit ends early is still spread.
_ROUNDS = 8


class _Part(NamedTuple):
    """A task with its source, and its number of records, if known."""

    source: Source
    task: Any
    records: int | None


@dataclasses.dataclass(frozen=True)
class Spread:
    """A sample of an input's records: the same records whenever it is read.

    From sources that can read individual records (`Source.picks`), records at equal distances are
    taken. From the others, the first records of tasks at equal distances are taken. Work and memory
    are bounded: at most 4,096 tasks per source are distinguished, from the others at most 8 records
    are read per record taken, and at most 1 GiB of images is read.

    Args:
      sources: the sources of the input.
      carried: their carried columns.
      wheres: conditions that the records must match.
      count: number of records to take.
    """

    sources: Sequence[Source]
    carried: pa.Schema
    wheres: Sequence[Where]
    count: int

    def read(self) -> tuple[Iterator[pa.RecordBatch], int | None]:
        """Image records in small batches, and the number of records to choose from; None if it is
        unknown without reading all of them."""
        parts, are_all = self._parts()
        picked = [part for part in parts if part.source.picks]
        others = [part for part in parts if not part.source.picks]
        counts = [self._records(part) for part in picked]
        of_others = [None if self.wheres else part.records for part in others]
        total = _sum([*counts, *of_others]) if are_all else None
        share = -(-self.count // 2) if picked and others else self.count
        batches = itertools.chain(self._picked(picked, counts, share), self._first(others, share))
        return _bounded(batches), total

    def _parts(self) -> tuple[list[_Part], bool]:
        """Tasks, and whether these are all tasks."""
        parts, are_all = [], True
        for source in self.sources:
            listed = (found for found in source.listings() if found.task is not None)
            found = list(itertools.islice(listed, _MOST_TASKS + 1))
            are_all &= len(found) <= _MOST_TASKS
            parts += [_Part(source, task, records) for task, _, records in found[:_MOST_TASKS]]
        return parts, are_all

    def _records(self, part: _Part) -> int:
        """The number of records that match the conditions."""
        if part.records is None or self.wheres:
            return len(self._ids(part))
        return part.records

    def _ids(self, part: _Part) -> list[str]:
        batches = self._batches(part.source, part.task, images=False)
        return [name for batch, _ in batches for name in batch.column(ID).to_pylist()]

    def _batches(
        self, source: Source, task: Any, images: bool = True
    ) -> Generator[tuple[pa.RecordBatch, int]]:
        limits = _LIMITS if images else BatchLimits()
        return read_task(
            source, task, limits, carried=self.carried, wheres=self.wheres, images=images
        )

    def _picked(
        self, parts: Sequence[_Part], counts: Sequence[int], wanted: int
    ) -> Iterator[pa.RecordBatch]:
        """Records at equal distances among all records of the parts."""
        ends = list(itertools.accumulate(counts))
        total = ends[-1] if ends else 0
        wanted = min(wanted, total)
        places = [(2 * number + 1) * total // (2 * wanted) for number in range(wanted)]
        for start in spread_order(_ROUNDS):
            by_part = itertools.groupby(
                places[start::_ROUNDS], lambda place: bisect.bisect_right(ends, place)
            )
            for index, inside in by_part:
                part, first = parts[index], ends[index] - counts[index]
                ids = self._ids(part)
                chosen = {ids[place - first] for place in inside if place - first < len(ids)}
                task = part.source.holding(part.task, chosen)
                if task is not None:
                    yield from (batch for batch, _ in self._batches(part.source, task))

    def _first(self, parts: Sequence[_Part], wanted: int) -> Iterator[pa.RecordBatch]:
        """The first records of parts that are far from one another, then of parts between them as
        long as there are too few."""
        quota = -(-wanted // max(1, min(len(parts), _MOST_SHARDS)))
        taken = read = 0
        for index in spread_order(len(parts)):
            left, before = min(quota, wanted - taken), read
            if left <= 0 or read >= _READ_PER_TAKEN * wanted:
                return
            part = parts[index]
            with contextlib.closing(self._batches(part.source, part.task)) as batches:
                for batch, excluded in batches:
                    read += len(batch) + excluded
                    kept = batch[:left]
                    yield kept
                    taken, left = taken + len(kept), left - len(kept)
                    if left <= 0 or read - before >= _READ_PER_TAKEN * quota:
                        break


def spread_order(count: int) -> list[int]:
    """0 to `count` - 1 in an order of which every prefix is spread over the range: by the numbers'
    bits in reverse (van der Corput sequence)."""
    width = max(0, count - 1).bit_length()
    numbers = (int(f"{number:0{width}b}"[::-1], 2) for number in range(1 << width))
    return [number for number in numbers if number < count]


def _sum(counts: Iterable[int | None]) -> int | None:
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def _bounded(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    size = 0
    for batch in batches:
        yield batch
        size += batch.column(IMAGE).nbytes
        if size >= _MOST_BYTES:
            return
