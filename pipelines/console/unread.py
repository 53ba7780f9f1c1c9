"""Warnings about what a run could not read, with the first few names."""

from collections.abc import Callable, Mapping

from pipelines.console.progress import say
from transforms.records.passed_over import Cause

_SHOWN = 3
_WHY = {
    Cause.NOT_ENTERED: "{} folders cannot be listed, so their contents were not read",
    Cause.LINK: "{} links lead out of the inputs, to a folder above them or to nothing, and were "
    "not followed (--follow_links follows those that lead out)",
}


def warn_of_unread(by_cause: Mapping[str, int], names: Callable[[Cause], list[str]]) -> None:
    """Prints a line for each cause because of which records may not have been read.

    Args:
      by_cause: the number of files and folders passed over, by cause.
      names: gives the names that are known for a cause.
    """
    for cause, text in _WHY.items():
        if count := by_cause.get(cause, 0):
            shown = names(cause)[:_SHOWN]
            more = ", ..." if count > len(shown) else ""
            say(f"warning: {text.format(count)}: {', '.join(shown)}{more}")
