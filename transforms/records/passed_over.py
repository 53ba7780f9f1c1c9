"""What was found in the inputs and not read: counted by cause, and the first of each named."""

import collections
import dataclasses
import enum
from collections.abc import Iterable, Mapping

import pyarrow as pa

from transforms.records.text import printable

MOST_NAMED = 100  # of each cause
SCHEMA = pa.schema(  # of the file that names them
    [
        pa.field("cause", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
    ]
)


class Cause(enum.StrEnum):
    """Why something was passed over. Other programs match on these: add, never rename."""

    HIDDEN = "hidden"  # a file or folder whose name begins with a dot
    OTHER_KIND = "other_kind"  # a file that is none of the kind that is read there
    LINK = "link"  # one that leads out of the input, to a folder above it, or to nothing
    NOT_ENTERED = "not_entered"  # a folder that cannot be listed
    EXCLUDED = "excluded"  # by --exclude
    MASK = "mask"  # of a defect: ground_truth/**/*_mask.*, as MVTec has them
    FURTHER_IMAGE = "further_image"  # of a record that has one already
    FURTHER_PAGE = "further_page"  # those of an image, a TIFF or an animation; counts once an image
    MEMBER = "member"  # of an archive, that is not read: its record needs none, or it has none
    LATE_COLUMN = "late_column"  # one that appears after the columns of the run were chosen

    @property
    def is_of_files(self) -> bool:
        """Whether whole files, or folders with all that is in them, are counted: what a listing
        tells. The others are found in files that are read."""
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
    """How many were passed over for each cause, and the `MOST_NAMED` of them whose names come
    first: whoever sums up parts, in whatever order, gets the same.

    A name is that of a file or folder as `source` has it, `FILE#WHAT` for something in a file, or
    the id of a record with further pages. A folder counts once, with all that is in it.
    """

    counts: collections.Counter[Cause] = dataclasses.field(default_factory=collections.Counter)
    _names: dict[Cause, set[str]] = dataclasses.field(default_factory=dict)

    def add(self, cause: Cause, name: str, count: int = 1) -> None:
        """Counts `count` more, of which one is called `name`."""
        self.counts[cause] += count
        self._name(cause, [name])

    def update(self, other: "PassedOver") -> None:
        """Adds what another has."""
        self.counts.update(other.counts)
        for cause, names in other._names.items():
            self._name(cause, names)

    def add_named(self, cause: Cause, count: int, names: list[str]) -> None:
        """Counts `count` more, some of which are called so."""
        self.counts[cause] += count
        self._name(cause, names)

    def names(self, cause: Cause) -> list[str]:
        """The first of those that were passed over for the cause, in order, each once."""
        return sorted(self._names.get(cause, ()))[:MOST_NAMED]

    def taken(self) -> "PassedOver | None":
        """What this has, None for nothing; this has nothing then."""
        if not self.counts:
            return None
        taken = PassedOver(self.counts, self._names)
        self.counts, self._names = collections.Counter(), {}
        return taken

    @property
    def files(self) -> int:
        """How many files and folders."""
        return sum(count for cause, count in self.counts.items() if cause.is_of_files)

    def by_cause(self) -> dict[str, int]:
        """The counts by the causes' names, in their order."""
        return {str(cause): self.counts[cause] for cause in Cause if self.counts[cause]}

    def to_arrow(self) -> pa.Table:
        """What is named, of `SCHEMA`."""
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
        """What to say of an input of which nothing is read, behind a space; nothing if nothing was
        passed over."""
        if not self.counts:
            return ""
        links = self.counts[Cause.LINK]
        hint = f"; {links} links lead out of it or to nothing: --follow_links follows the former"
        return f" (passed over: {counts_text(self.by_cause())}{hint if links else ''})"


def counts_text(by_cause: Mapping[str, int]) -> str:
    """`60 link, 1 excluded`: as reasons of rejects are told."""
    return ", ".join(f"{count} {cause}" for cause, count in by_cause.items())
