"""What was found in the inputs but not read: counts by cause, and the first names of each."""

import collections
import dataclasses
import enum
from collections.abc import Iterable, Mapping

import pyarrow as pa

from transforms.records.text import printable

MOST_NAMED = 100  # per cause
SCHEMA = pa.schema(  # schema of the file that names them
    [
        pa.field("cause", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
    ]
)


class Cause(enum.StrEnum):
    """Why something was passed over. Other programs match on these: add, never rename."""

    HIDDEN = "hidden"  # a file or folder whose name begins with a dot
    OTHER_KIND = "other_kind"  # a file that is not of the kind that is read
    LINK = "link"  # a link that leads out of the input, to a folder above it, or to nothing
    NOT_ENTERED = "not_entered"  # a folder that cannot be listed
    EXCLUDED = "excluded"  # excluded by --exclude
    MASK = "mask"  # a defect mask: ground_truth/**/*_mask.*, as in MVTec
    FURTHER_IMAGE = "further_image"  # a further image of a record
    FURTHER_PAGE = "further_page"  # an image with further pages or frames; counts once per image
    MEMBER = "member"  # an archive member that its record does not need, or that has no record
    LATE_COLUMN = "late_column"  # a column that appears after the columns of the run were chosen

    @property
    def is_of_files(self) -> bool:
        """Whether entire files and folders are counted, which a listing finds. The others are found
        within files that are read."""
        return self in _OF_FILES


_OF_FILES = (
    Cause.HIDDEN,
    Cause.OTHER_KIND,
    Cause.LINK,
    Cause.NOT_ENTERED,
    Cause.EXCLUDED,
    Cause.MASK,
)


@dataclasses.dataclass
class PassedOver:
    """The number passed over for each cause, and the first `MOST_NAMED` names in sorted order, so
    that summing parts gives the same result in any order.

    A name is that of a file or folder, as in `source`, `FILE#WHAT` for something in a file, or the
    id of a record with further pages. A folder and everything in it count once.
    """

    counts: collections.Counter[Cause] = dataclasses.field(default_factory=collections.Counter)
    _names: dict[Cause, set[str]] = dataclasses.field(default_factory=dict)

    def add(self, cause: Cause, name: str, count: int = 1) -> None:
        """Adds `count`, one of which has the name `name`."""
        self.counts[cause] += count
        self._name(cause, [name])

    def update(self, other: "PassedOver") -> None:
        """Adds the counts and names of another."""
        self.counts.update(other.counts)
        for cause, names in other._names.items():
            self._name(cause, names)

    def add_named(self, cause: Cause, count: int, names: list[str]) -> None:
        """Adds `count`, some of which have these names."""
        self.counts[cause] += count
        self._name(cause, names)

    def names(self, cause: Cause) -> list[str]:
        """The first names that were passed over for the cause, in order, without duplicates."""
        return sorted(self._names.get(cause, ()))[:MOST_NAMED]

    def taken(self) -> "PassedOver | None":
        """Returns the counts and names, None if there are none, and resets them."""
        if not self.counts:
            return None
        taken = PassedOver(self.counts, self._names)
        self.counts, self._names = collections.Counter(), {}
        return taken

    @property
    def files(self) -> int:
        """The number of files and folders."""
        return sum(count for cause, count in self.counts.items() if cause.is_of_files)

    def by_cause(self) -> dict[str, int]:
        """The counts by name of cause, in the order of `Cause`."""
        return {str(cause): self.counts[cause] for cause in Cause if self.counts[cause]}

    def to_arrow(self) -> pa.Table:
        """The names, as a table of `SCHEMA`."""
        rows = [
            {"cause": str(cause), "name": printable(name)}
            for cause in Cause
            for name in self.names(cause)
        ]
        return pa.Table.from_pylist(rows, SCHEMA)

    def _name(self, cause: Cause, names: Iterable[str]) -> None:
        held = self._names.setdefault(cause, set())
        held.update(names)
        if len(held) > 2 * MOST_NAMED:
            self._names[cause] = set(sorted(held)[:MOST_NAMED])

    def in_brackets(self) -> str:
        """A remark for messages about inputs of which nothing is read, preceded by a space; empty
        if nothing was passed over."""
        if not self.counts:
            return ""
        links = self.counts[Cause.LINK]
        hint = (
            f"; links that lead out of it or are broken: {links}; --follow_links follows the former"
        )
        return f" (passed over: {counts_text(self.by_cause())}{hint if links else ''})"


def counts_text(by_cause: Mapping[str, int]) -> str:
    """`60 link, 1 excluded`, in the format used for the reasons of rejects."""
    return ", ".join(f"{count} {cause}" for cause, count in by_cause.items())
