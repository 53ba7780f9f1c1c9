"""The speed suite: its figures, the file that stores them, the page. Nothing is timed here."""

from pathlib import Path

import pytest

from benchmarks.page import put
from benchmarks.speed.outcome import Outcome, read_outcomes, write_outcomes
from benchmarks.speed.page import table
from benchmarks.speed.rows import MEASURES
from tests.support.project import PROJECT

_FAST = Outcome("array path", (1.0, 3.0, 2.0), 1.5, ours="1 µs", beside="2 µs")
_SLOW = Outcome("help", (0.7,), 0.5, at_most=True, unit="s")


def test_the_median_counts_and_either_sense_of_asked() -> None:
    assert (_FAST.figure, _FAST.reached) == (2.0, True)
    assert not Outcome("x", (1.4,), 1.5).reached
    assert (_SLOW.figure, _SLOW.reached) == (0.7, False)
    assert Outcome("x", (0.5,), 0.5, at_most=True).reached


def test_figures_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    assert read_outcomes(path) == {}
    kept = {outcome.name: outcome for outcome in (_FAST, _SLOW)}
    write_outcomes(path, kept)
    assert read_outcomes(path) == kept


def test_the_table_stands_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- measured by make bench -->\nold\n<!-- end of what was measured -->\nafter\n"
    )
    put(page, "bench", table([_FAST, _SLOW]))
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("<!-- end of what was measured -->\nafter\n")
    assert "old" not in text
    assert "| array path | **2.00** × | 1.00, 3.00 | ≥ 1.5 × | yes | 1 µs | 2 µs |" in text
    assert "| help | **0.70** s | 0.70, 0.70 | ≤ 0.5 s | **no** |" in text


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="has no <!-- measured"):
        put(page, "bench", table([_FAST]))
    assert page.read_text() == "nothing"


def test_the_page_in_the_documentation_has_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    source = PROJECT / "docs" / "reference" / "performance.md"
    page.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    put(page, "bench", table([_FAST]))
    assert table([_FAST]) in page.read_text(encoding="utf-8")


def test_each_measure_has_a_name_of_its_own() -> None:
    names = [measure.name for measure in MEASURES]
    assert len(set(names)) == len(names)
