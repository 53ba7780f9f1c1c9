"""Progress lines: what `ProgressLog` writes is what `parse_progress` reads."""

import logging
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.execution import timing
from transforms.execution.timing import LOGGER, ProgressLog, each_timed, parse_progress, timed


def _set_clock(monkeypatch: pytest.MonkeyPatch, clock: Callable[[], float]) -> None:
    monkeypatch.setattr(timing, "time", SimpleNamespace(monotonic=clock))


def _lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER.name]


def test_each_worker_logs_its_own_running_count(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(100))
    _set_clock(monkeypatch, lambda: next(now))
    caplog.set_level(logging.INFO, LOGGER.name)
    first, second = ProgressLog(), ProgressLog()
    for worker, records in ((first, 3), (second, 10), (first, 4)):
        worker.add(records)
    found = [parse_progress(line) for line in _lines(caplog)]
    assert None not in found
    (one, a), (two, b), (again, c) = found  # type: ignore[misc] - none is None
    assert (a, b, c) == (3, 10, 7)
    assert one == again != two


def test_lines_within_a_second_are_left_out_and_their_records_kept(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 50.0
    _set_clock(monkeypatch, lambda: now)
    caplog.set_level(logging.INFO, LOGGER.name)
    log = ProgressLog()
    for later in (0.0, 0.3, 0.6, 1.1, 1.5):
        now = 50.0 + later
        log.add(1)
    counts = [parse_progress(line)[1] for line in _lines(caplog)]  # type: ignore[index]
    assert counts == [1, 4]


@settings(deadline=None)
@given(
    st.text().filter(lambda text: "latentbeam" not in text),
    st.text(st.characters(exclude_categories=["Nd"])),
    st.integers(0, 10**12),
)
def test_a_line_is_found_within_other_text(before: str, after: str, records: int) -> None:
    line = f"{before}latentbeam progress 0a1b2c3d {records}{after}"
    assert parse_progress(line) == ("0a1b2c3d", records)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "some other line 12",
        "latentbeam progress",
        "latentbeam progress ",
        "latentbeam progress 0a1b2c3d",
        "latentbeam progress 0a1b2c3d ",
        "latentbeam progress 0a1b2c3d many",
    ],
)
def test_other_lines_are_none(line: str) -> None:
    assert parse_progress(line) is None


@settings(deadline=None)
@given(st.text())
def test_no_line_raises(line: str) -> None:
    assert parse_progress(line) is None
    parse_progress(f"latentbeam progress {line}")


def test_timed_gives_the_value_and_the_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 10.25])
    _set_clock(monkeypatch, lambda: next(now))
    assert timed(max, 2, 3) == (3, 250)


def test_each_timed_times_what_each_item_took(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 0.5, 2.0, 2.001, 3.0, 3.0])
    _set_clock(monkeypatch, lambda: next(now))
    assert list(each_timed(iter("ab"))) == [("a", 500), ("b", 1)]
