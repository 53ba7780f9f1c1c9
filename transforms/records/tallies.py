"""Counts that accompany the records: unlike metrics, data count a retried Beam bundle once."""

import dataclasses
from collections.abc import Iterable
from typing import Any, Self

import pyarrow as pa

from transforms.records.passed_over import Cause, PassedOver
from transforms.records.text import printable

READ = "records read"
EXCLUDED = "records excluded by where"
PASSED_OVER = "files passed over"
_WITHIN_FILES = "passed over within files"
# Beam YAML's rows of tallies have these fields. In rows that count what was passed over, `cause`
# states why, and `examples` has some names.
TALLY_SCHEMA = pa.schema(
    [
        pa.field("name", pa.string()),
        pa.field("count", pa.int64()),
        pa.field("cause", pa.string()),
        pa.field("examples", pa.list_(pa.string())),
    ]
)


@dataclasses.dataclass
class Tallies:
    """The totals of a run, or of a part of it.

    read: number of records read; None if they were not counted.
    excluded: number of these that `where` excluded.
    passed_over: files, and items within files, that were passed over.
    """

    read: int | None = None
    excluded: int = 0
    passed_over: PassedOver = dataclasses.field(default_factory=PassedOver)

    def add(self, rows: Iterable[dict[str, Any]]) -> Self:
        """Adds rows of `TALLY_SCHEMA`; rows made by other programs may lack a cause."""
        for row in rows:
            name, count = row["name"], row["count"]
            if name == READ:
                self.read = (self.read or 0) + count
            elif name == EXCLUDED:
                self.excluded += count
            elif name in (PASSED_OVER, _WITHIN_FILES):
                cause = Cause(row.get("cause") or Cause.OTHER_KIND)
                self.passed_over.add_named(cause, count, row.get("examples") or [])
        return self

    def rows(self) -> list[dict[str, Any]]:
        """The totals as rows of `TALLY_SCHEMA`."""
        counted = {EXCLUDED: self.excluded}
        if self.read is not None:
            counted[READ] = self.read
        rows = [{"name": name, "count": count} for name, count in counted.items()]
        return rows + _passed_over_rows(self.passed_over)

    def to_arrow(self) -> pa.RecordBatch:
        """The totals as a batch."""
        return pa.RecordBatch.from_pylist(self.rows(), TALLY_SCHEMA)

    @classmethod
    def total(cls, batches: Iterable[pa.RecordBatch]) -> Self:
        """The totals of several batches."""
        found = cls()
        for batch in batches:
            found.add(batch.to_pylist())
        return found


def tally(
    read: int | None = None, excluded: int = 0, passed_over: PassedOver | None = None
) -> pa.RecordBatch:
    """A batch with the given counts."""
    return Tallies(read, excluded, passed_over or PassedOver()).to_arrow()


def _passed_over_rows(found: PassedOver) -> list[dict[str, Any]]:
    return [
        {
            "name": PASSED_OVER if cause.is_of_files else _WITHIN_FILES,
            "count": count,
            "cause": str(cause),
            "examples": list(map(printable, found.names(cause))),
        }
        for cause in Cause
        if (count := found.counts[cause])
    ]
