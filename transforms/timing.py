"""Time and progress of the stages, as Beam metrics and as lines in the workers' logs."""

import contextlib
import logging
import time
import uuid
from collections.abc import Iterator
from typing import Any

LOGGER = logging.getLogger("latentbeam.progress")
_MARK = "latentbeam progress"
_SECONDS_BETWEEN_LINES = 1.0


@contextlib.contextmanager
def timed(distribution: Any) -> Iterator[None]:
    """Adds the block's duration in milliseconds to a Beam distribution metric."""
    started = time.monotonic()
    yield
    distribution.update(round(1000 * (time.monotonic() - started)))


class ProgressLog:
    """A worker's count of finished records, logged at most once a second.

    Logs are the one channel that every runner carries back from its workers.
    """

    def __init__(self) -> None:
        self._worker, self._records, self._next = uuid.uuid4().hex[:8], 0, 0.0

    def add(self, records: int) -> None:
        self._records += records
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _SECONDS_BETWEEN_LINES
            LOGGER.info("%s %s %d", _MARK, self._worker, self._records)


def parse_progress(message: str) -> tuple[str, int] | None:
    """(worker, records) of a line that `ProgressLog` wrote, wherever it stands in `message`."""
    _, mark, rest = message.partition(f"{_MARK} ")
    if not mark:
        return None
    worker, _, records = rest.partition(" ")
    digits = records[: len(records) - len(records.lstrip("0123456789"))]
    return (worker, int(digits)) if digits else None
