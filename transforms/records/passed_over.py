"""What was found in the inputs and not read: counted by cause, and the first of each named."""

import collections
import enum
from collections.abc import Iterable

import pyarrow as pa

MOST_NAMED = 100  # of each cause
SCHEMA = pa.schema(
    [
        pa.field("cause", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("names", pa.list_(pa.string()), nullable=False),
    ]
)


class Cause(enum.StrEnum):
    """Why something was passed over. Other programs match on these: add, never rename."""

    HIDDEN = "hidden"  # a file or folder whose name begins with a dot
    OTHER_KIND = "other_kind"  # a file that is none of the kind that is read there
    LINK = "link"  # one that leads out of the input, to a folder above it, or to nothing
    NOT_ENTERED = "not_entered"  # a folder that cannot be listed
    EXCLUDED = "excluded"  # by --exclude
    FURTHER_PAGE = "further_page"  # of an image with several
    FURTHER_IMAGE = "further_image"  # of a record that has one already
    MEMBER = "member"  # of an archive, that belongs to no record
    LATE_COLUMN = "late_column"  # one that appears after the columns of the run were chosen


class PassedOver:
    """A count and at most `MOST_NAMED` names of each cause. Sums do not depend on their order but
    for which are named."""

    def __init__(self) -> None:
        self.counts: collections.Counter[Cause] = collections.Counter()
        self.names: dict[Cause, list[str]] = {}

    def add(self, cause: Cause, name: str, count: int = 1) -> None:
        """Counts `count` more, of which one is called `name`."""
        self.counts[cause] += count
        named = self.names.setdefault(cause, [])
        if len(named) < MOST_NAMED:
            named.append(name)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def to_arrow(self) -> pa.RecordBatch:
        """One row a cause, of `SCHEMA`."""
        causes = list(self.counts)
        columns = {
            "cause": [str(cause) for cause in causes],
            "count": [self.counts[cause] for cause in causes],
            "names": [self.names.get(cause, []) for cause in causes],
        }
        return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)

    @classmethod
    def total(cls, batches: Iterable[pa.RecordBatch]) -> "PassedOver":
        """The sum of batches of `SCHEMA`."""
        found = cls()
        for batch in batches:
            for row in batch.to_pylist():
                cause = Cause(row["cause"])
                found.counts[cause] += row["count"]
                named = found.names.setdefault(cause, [])
                named += row["names"][: MOST_NAMED - len(named)]
        return found
