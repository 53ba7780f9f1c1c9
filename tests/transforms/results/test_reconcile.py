"""Comparing multisets of ids, checked against Python's own."""

import weakref
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.results.reconcile import PARTITIONS, Differences, DigestPartitions, reconcile

# A few names, so that they coincide; and any text, for the digests.
NAMES = st.one_of(st.integers(0, 12).map("r{}".format), st.text(st.characters(codec="utf-8")))
BATCHES = st.lists(st.lists(NAMES, max_size=6), max_size=6)


def _reconcile(expected: list[list[str]], found: list[list[str]]) -> Differences:
    return reconcile(lambda: iter(expected), lambda: iter(found))


@settings(deadline=None, max_examples=60)
@given(BATCHES, BATCHES)
def test_as_python_sets_and_counters_have_it(
    expected: list[list[str]], found: list[list[str]]
) -> None:
    ours = Counter(name for batch in expected for name in batch)
    theirs = Counter(name for batch in found for name in batch)
    oracle = {
        "missing": set(ours) - set(theirs),
        "unexpected": set(theirs) - set(ours),
        "repeated": {name for name, count in theirs.items() if count > 1},
    }
    result = _reconcile(expected, found)
    assert (result.expected, result.found) == (ours.total(), theirs.total())
    for name, ids in oracle.items():
        assert getattr(result, name) == len(ids)
        examples = result.examples.get(name, [])
        assert set(examples) <= ids
        assert len(set(examples)) == len(examples) == min(len(ids), 10)
    assert result.none == (ours == theirs and max(ours.values(), default=1) == 1)


def test_nothing_differs_in_another_order_and_other_batches() -> None:
    names = [f"folder/{n}.png" for n in range(5000)]
    result = _reconcile([names], [names[n::7] for n in range(7)][::-1])
    assert result == Differences(5000, 5000, 0, 0, 0, {})
    assert result.none


def test_differences_have_names() -> None:
    result = _reconcile([["a", "b"], ["c"]], [["b", "x"], ["b"], ["c"]])
    assert result.examples == {"missing": ["a"], "unexpected": ["x"], "repeated": ["b"]}
    assert not result.none


def test_a_record_that_the_inputs_hold_twice_is_no_match_for_one_found() -> None:
    """Two records with the same id need two rows, which are then reported as repeated."""
    result = _reconcile([["a", "a"]], [["a"]])
    assert (result.expected, result.found) == (2, 1)
    assert not result.none


@pytest.mark.parametrize("sides", [([], [["a"]]), ([["a"]], [])])
def test_one_side_may_be_empty(sides: tuple[list[list[str]], list[list[str]]]) -> None:
    result = _reconcile(*sides)
    assert (result.missing, result.unexpected) == (len(sides[0]), len(sides[1]))


def test_empty_batches_among_others_change_nothing() -> None:
    assert _reconcile([[], ["a"], []], [["a"], []]).none


def test_a_partition_is_a_small_share_of_the_ids(tmp_path: Path) -> None:
    names = [str(n) for n in range(20_000)]
    partitions = DigestPartitions(tmp_path / "ids", [names[:9000], names[9000:]])
    sizes = [len(partitions.load(number)[0]) for number in range(PARTITIONS)]
    assert partitions.count == sum(sizes) == len(names)
    assert max(sizes) < len(names) / 50


def test_one_partition_at_a_time_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[int] = []
    in_memory: list[weakref.ref[np.ndarray]] = []
    original = DigestPartitions.load

    def load(self: DigestPartitions, partition: int) -> tuple[np.ndarray, np.ndarray]:
        assert sum(digests() is not None for digests in in_memory) <= 2, "one of either side"
        result = original(self, partition)
        loaded.append(len(result[0]))
        in_memory.append(weakref.ref(result[0]))
        return result

    monkeypatch.setattr(DigestPartitions, "load", load)
    names = [str(n) for n in range(20_000)]
    assert reconcile(lambda: [names], lambda: [names]).none
    assert sum(loaded) == 2 * len(names)
    assert max(loaded) < len(names) / 50
