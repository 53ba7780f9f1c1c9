"""Counts of what was passed over, and the first names."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from transforms.records.passed_over import MOST_NAMED, Cause, PassedOver
from transforms.records.tallies import TALLY_SCHEMA, Tallies, tally

FOUND = st.lists(st.tuples(st.sampled_from(Cause), st.integers(0, 500).map(str)), max_size=700)


def _collected(found: list[tuple[Cause, str]]) -> PassedOver:
    result = PassedOver()
    for cause, name in found:
        result.add(cause, name)
    return result


@given(FOUND, st.integers(0, 700), st.randoms(use_true_random=False))
def test_sums_of_parts_are_the_same_in_any_order(
    found: list[tuple[Cause, str]], cut: int, random: object
) -> None:
    whole = _collected(found)
    random.shuffle(found)  # type: ignore[attr-defined]
    parts = [_collected(found[:cut]), _collected(found[cut:])]
    batches = [tally(passed_over=part) for part in parts]
    total = Tallies.total([Tallies.total(batches).to_arrow(), tally(read=3)])
    assert total.read == 3
    assert total.passed_over.by_cause() == whole.by_cause()
    assert total.passed_over.to_arrow() == whole.to_arrow()
    for cause in Cause:
        names = sorted({name for found_cause, name in found if found_cause is cause})
        assert whole.names(cause) == names[:MOST_NAMED]


def test_many_names_take_no_more_room() -> None:
    found = PassedOver()
    for number in range(100_000):
        found.add(Cause.LINK, f"{number:06d}")
    assert found.counts[Cause.LINK] == found.files == 100_000
    assert found.names(Cause.LINK) == [f"{number:06d}" for number in range(MOST_NAMED)]
    assert len(pickle.dumps(found)) < 5000


def test_names_that_are_no_unicode_can_be_written() -> None:
    found = PassedOver()
    found.add(Cause.OTHER_KIND, "caf\udce9")
    assert found.to_arrow()["name"].to_pylist() == [r"caf\xe9"]
    assert tally(passed_over=found).schema == TALLY_SCHEMA


def test_taking_leaves_nothing() -> None:
    found = PassedOver()
    assert found.taken() is None
    found.add(Cause.MEMBER, "a.tar#b")
    taken = found.taken()
    assert taken is not None
    assert (taken.by_cause(), taken.files) == ({"member": 1}, 0)
    assert found.taken() is None


def test_rows_of_earlier_versions_have_no_cause() -> None:
    total = Tallies().add([{"name": "files passed over", "count": 2}])
    assert total.passed_over.by_cause() == {"other_kind": 2}
