"""What happened to records without a usable image: why there is no image to show, or from which to
determine the shape."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import pyarrow as pa

from transforms.records.batches import ID, REJECT
from transforms.records.where import Where

_MOST_NAMED = 3


@dataclasses.dataclass
class LookedAt:
    """Counts of records, by what happened to them.

    Attributes:
      excluded: number of records that do not match every condition.
      reasons: numbers of rejected records, by reason.
      first: the id and the message of the first reject.
    """

    excluded: int = 0
    reasons: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    first: tuple[str, str] | None = None

    def add(self, record: str, reject: Mapping[str, str]) -> None:
        """Counts a reject."""
        self.reasons[reject["reason"]] += 1
        self.first = self.first or (record, reject["message"])

    def add_rejects(self, batch: pa.RecordBatch) -> None:
        """Counts the rejects among image records."""
        rejected = batch.filter(batch.column(REJECT).is_valid())
        rows = (rejected.column(name).to_pylist() for name in (ID, REJECT))
        for record, reject in zip(*rows, strict=True):
            self.add(record, reject)

    def told(self) -> str:
        """`2 corrupt, 1 empty; the first is ID: MESSAGE`; empty if there are no rejects."""
        if self.first is None:
            return ""
        counts = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.most_common())
        record, message = self.first
        return f"{counts}; the first is {record}: {message}"

    def nothing_found(self, uris: Sequence[str], wheres: Sequence[Where]) -> str:
        """Why none of the records of the inputs can be used."""
        conditions = " and ".join(map(str, wheres))
        if self.first is not None:
            which = f"records that match {conditions}" if wheres else "records"
            return (
                f"no image can be decoded from {named(uris)}: all {self.reasons.total():,} {which} "
                f"were rejected ({self.told()})"
            )
        if self.excluded:
            return f"none of the {self.excluded:,} records in {named(uris)} matches {conditions}"
        return f"no records in {named(uris)}"


def named(uris: Sequence[str]) -> str:
    """The inputs as readable text; if there are many, the first few."""
    shown = ", ".join(uris[:_MOST_NAMED])
    more = len(uris) - _MOST_NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown
