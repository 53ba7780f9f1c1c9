"""Runs one stage in the background while the next one is busy: in order, and bounded.

Reading, decoding, the network and compression release Python's global lock most of the time, so
one thread each is enough to keep them all busy.
"""

import collections
import contextlib
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")


class _End:
    """Marks the end of the items."""


def read_ahead(items: Generator[Item], depth: int = 2) -> Generator[Item]:
    """The same items, up to `depth` of them computed before they are requested.

    Whatever `items` raises is raised in place of the item. Closing this generator closes `items`.
    """
    with contextlib.closing(items), ThreadPoolExecutor(1, "read-ahead") as pool:
        pending = collections.deque(pool.submit(next, items, _End()) for _ in range(depth))
        try:
            while not isinstance(item := pending.popleft().result(), _End):
                pending.append(pool.submit(next, items, _End()))
                yield item
        finally:
            pool.shutdown(cancel_futures=True)


class Ahead(Generic[Item]):
    """Runs calls in background threads and returns their results in the order of the calls.

    Args:
      threads: maximum number of concurrent calls.
      limit: results are due while the total size of the calls whose results were not yet returned
        exceeds this; the last call may always stay pending.
    """

    def __init__(self, limit: int, threads: int = 1):
        self._limit, self._size = limit, 0
        self._pool = ThreadPoolExecutor(threads, "ahead")
        self._pending: collections.deque[tuple[int, Future[Item]]] = collections.deque()

    def submit(self, size: int, function: Callable[..., Item], *arguments: object) -> list[Item]:
        """Adds a call of this size; waits for the results that are due, and returns them."""
        self._pending.append((size, self._pool.submit(function, *arguments)))
        self._size += size
        due = []
        while len(self._pending) > 1 and self._size > self._limit:
            due.append(self._take())
        return due

    def drain(self) -> list[Item]:
        """Waits for all remaining calls and returns their results; no call can be added later."""
        left = [self._take() for _ in range(len(self._pending))]
        self._pool.shutdown()
        return left

    def close(self) -> None:
        """Discards the calls whose results were not returned, after waiting for running ones."""
        self._pending.clear()
        self._pool.shutdown(cancel_futures=True)

    def _take(self) -> Item:
        size, future = self._pending.popleft()
        self._size -= size
        return future.result()
