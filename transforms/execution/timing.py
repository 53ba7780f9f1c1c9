"""Time and progress of stages, as Beam metrics and as lines in the workers' logs."""

import logging
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from typing import Generic, NamedTuple, TypeVar

LOGGER = logging.getLogger("latentbeam.progress")
_MARK = "latentbeam progress"
_SECONDS_BETWEEN_LINES = 1.0
Item = TypeVar("Item")


class Timed(NamedTuple, Generic[Item]):
    """A value, and the milliseconds that it took.

    Beam's metrics work only in the thread of the Beam bundle: the work of a background thread is
    timed there and reported here.
    """

    value: Item
    milliseconds: int


def timed(function: Callable[..., Item], *arguments: object) -> Timed[Item]:
    """Calls the function and measures the time that it takes."""
    started = time.monotonic()
    value = function(*arguments)
    return Timed(value, round(1000 * (time.monotonic() - started)))


def each_timed(items: Iterator[Item]) -> Generator[Timed[Item]]:
    """The items, each with the time that it took to compute."""
    end = object()
    while (item := timed(next, items, end)).value is not end:
        yield item


class ProgressLog:
    """A worker's count of finished records, logged at most once a second.

    Logs are the only channel that every runner returns from its workers.
    """

    def __init__(self) -> None:
        self._worker, self._records, self._next = uuid.uuid4().hex[:8], 0, 0.0

    def add(self, records: int) -> None:
        self._records += records
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _SECONDS_BETWEEN_LINES
            LOGGER.info("%s %s %d", _MARK, self._worker, self._records)


def parse_progress(message: str) -> tuple[str, int] | None:
    """(worker, records) from a line that `ProgressLog` wrote, wherever it is in `message`."""
    _, mark, rest = message.partition(f"{_MARK} ")
    if not mark:
        return None
    worker, _, records = rest.partition(" ")
    digits = records[: len(records) - len(records.lstrip("0123456789"))]
    return (worker, int(digits)) if digits else None
