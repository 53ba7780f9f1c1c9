"""The rejects of a finished run: counts by reason, and examples."""

import dataclasses

from transforms.records.batches import ID
from transforms.results.reader import read_row_group, row_groups
from transforms.runs.ledger import REJECTS

_COLUMNS = (ID, "stage", "reason", "message")


@dataclasses.dataclass
class Rejects:
    """The rejects with one reason.

    Attributes:
      reason: the code of the reason.
      count: the number of records rejected for it.
      examples: the first few: id, stage, message.
    """

    reason: str
    count: int = 0
    examples: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)


def rejects_by_reason(scores: str, most_examples: int) -> list[Rejects]:
    """The rejects of every reason that occurs, the most frequent reason first.

    Raises:
      InputError: there is no finished run, or a file cannot be read.
    """
    found: dict[str, Rejects] = {}
    for group in row_groups(scores, REJECTS):
        for batch in read_row_group(group, _COLUMNS):
            for record, stage, reason, message in zip(
                *(column.to_pylist() for column in batch.columns), strict=True
            ):
                rejects = found.setdefault(reason, Rejects(reason))
                rejects.count += 1
                if len(rejects.examples) < most_examples:
                    rejects.examples.append((record, stage, message or ""))
    return sorted(found.values(), key=lambda rejects: (-rejects.count, rejects.reason))
