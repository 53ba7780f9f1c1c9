"""Warnings of what a run could not read, by the names of the first."""

from collections.abc import Callable, Mapping

from pipelines.console.progress import say
from transforms.records.passed_over import Cause

_SHOWN = 3
_WHY = {
    Cause.NOT_ENTERED: "{} folders cannot be listed, and what is in them was not read",
    Cause.LINK: "{} links lead out of the inputs, to a folder above them or to nothing, and were "
    "not followed (--follow_links follows the first kind)",
}


def warn_of_unread(by_cause: Mapping[str, int], names: Callable[[Cause], list[str]]) -> None:
    """A line for each cause that may have kept records from being read.

    Args:
      by_cause: how many were passed over.
      names: gives those that are named of a cause.
    """
    for cause, text in _WHY.items():
        if count := by_cause.get(cause, 0):
            shown = names(cause)[:_SHOWN]
            more = ", ..." if count > len(shown) else ""
            say(f"warning: {text.format(count)}: {', '.join(shown)}{more}")
