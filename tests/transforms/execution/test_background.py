"""Work in the background: order, bounds, errors."""

import threading
from collections.abc import Generator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.execution.background import Ahead, read_ahead


@given(st.lists(st.integers(), max_size=20), st.integers(1, 5))
def test_read_ahead_gives_the_same_items(items: list[int], depth: int) -> None:
    assert list(read_ahead((item for item in items), depth)) == items


def test_read_ahead_makes_the_next_items_while_the_first_is_in_use() -> None:
    made = threading.Semaphore(0)

    def items() -> Generator[int]:
        for number in range(10):
            yield number
            made.release()

    ahead = read_ahead(items(), depth=2)
    assert next(ahead) == 0
    # Two more were requested before they are needed: the second shows that the first was passed.
    assert made.acquire(timeout=10)
    assert made.acquire(timeout=10)
    ahead.close()


@pytest.mark.parametrize("depth", [1, 3])
def test_read_ahead_never_makes_more_than_its_depth(depth: int) -> None:
    made: list[int] = []

    def items() -> Generator[int]:
        for number in range(100):
            made.append(number)
            yield number

    for taken, _ in enumerate(read_ahead(items(), depth), start=1):
        assert len(made) <= taken + depth


def test_read_ahead_raises_where_the_item_would_have_been() -> None:
    def items() -> Generator[int]:
        yield 1
        raise OSError("no more")

    ahead = read_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(OSError, match="no more"):
        next(ahead)


def test_closing_read_ahead_closes_what_it_reads() -> None:
    closed: list[bool] = []

    def items() -> Generator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    ahead = read_ahead(items())
    next(ahead)
    ahead.close()
    assert closed == [True]
    assert "read-ahead" not in " ".join(thread.name for thread in threading.enumerate())


@given(st.lists(st.integers(0, 4), max_size=30), st.integers(0, 9), st.integers(1, 3))
def test_ahead_keeps_the_order_and_its_limit(sizes: list[int], limit: int, threads: int) -> None:
    ahead: Ahead[int] = Ahead(limit, threads)
    results: list[int] = []

    def pending() -> Iterator[int]:
        yield from sizes[len(results) : number + 1]

    for number, size in enumerate(sizes):
        results += ahead.submit(size, int, number)
        assert sum(pending()) <= limit or len(list(pending())) == 1
    results += ahead.drain()
    assert results == list(range(len(sizes)))


def test_ahead_raises_in_the_thread_that_takes_the_result() -> None:
    ahead: Ahead[float] = Ahead(0)
    assert ahead.submit(1, divmod, 1, 0) == []
    with pytest.raises(ZeroDivisionError):
        ahead.drain()


def test_a_call_is_made_though_nobody_looks_at_what_is_due() -> None:
    made: list[int] = []
    ahead: Ahead[None] = Ahead(9)
    ahead.submit(1, made.append, 1)
    ahead.drain()
    assert made == [1]


def test_ahead_runs_as_many_calls_at_once_as_it_has_threads() -> None:
    together = threading.Barrier(2)
    ahead: Ahead[int] = Ahead(9, threads=2)
    assert not [*ahead.submit(1, together.wait, 10), *ahead.submit(1, together.wait, 10)]
    assert sorted(ahead.drain()) == [0, 1]


def test_closing_ahead_gives_up_calls_that_wait_and_outlasts_those_that_run() -> None:
    started, finish, ran = threading.Event(), threading.Event(), []

    def run(number: int) -> None:
        started.set()
        finish.wait(10)
        ran.append(number)

    ahead: Ahead[None] = Ahead(9)
    for number in range(3):
        assert ahead.submit(1, run, number) == []
    assert started.wait(10)
    threading.Timer(0.1, finish.set).start()
    ahead.close()
    assert ran == [0]
    assert ahead.drain() == []
