"""Splits and the image store: independent of the records' order, batches and workers."""

import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ae_models.errors import InputError
from ae_models.training.image_store import Batch, ImageStore, Part, write_image_stores
from ae_models.training.splits import (
    CALIBRATION,
    SPLITS,
    TRAIN,
    VALIDATION,
    SplitOrder,
    group_advice,
    id_hashes,
    split_sizes,
    too_few_groups,
)

SHAPE = (3, 4, 2)


def _records(count: int, dtype: str = "uint16") -> tuple[list[str], np.ndarray]:
    """Ids, and images each of which contains its own number."""
    images = np.broadcast_to(np.arange(count).reshape(-1, 1, 1, 1), (count, *SHAPE))
    return [f"record/{i}" for i in range(count)], images.astype(dtype)


def _reader(
    ids: list[str], images: np.ndarray, order: np.ndarray, rows: int
) -> Callable[[], list[Batch]]:
    parts = [order[start : start + rows] for start in range(0, len(order), rows)]
    return lambda: [([ids[i] for i in part], images[part]) for part in parts]


def _store(path: Path, count: int, dtype: str = "uint16") -> ImageStore:
    ids, images = _records(count, dtype)
    return _written(path / "store.npy", _reader(ids, images, np.arange(count), 16))


def _written(path: Path, reader: Callable[[], list[Batch]]) -> ImageStore:
    """Writes all records into one split."""
    hashes = np.concatenate([id_hashes([]), *(id_hashes(ids) for ids, _ in reader())])
    order = SplitOrder(hashes, {TRAIN: len(hashes)})
    return write_image_stores({TRAIN: path}, order, reader())[TRAIN]


def _numbers(batch: np.ndarray) -> list[int]:
    assert np.all(batch == batch[:, :1, :1, :1]), "images were mixed"
    return batch[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("rows", [1, 7, 40, 1000])
def test_stored_order_does_not_depend_on_the_order_of_arrival(
    tmp_path: Path, rows: int, generator: np.random.Generator
) -> None:
    expected = _store(tmp_path, 101)
    ids, images = _records(101)
    reader = _reader(ids, images, generator.permutation(101), rows)
    store = _written(tmp_path / "other.npy", reader)
    assert store.path.read_bytes() == expected.path.read_bytes()


def test_stored_order_is_that_of_the_hashes(tmp_path: Path) -> None:
    store = _store(tmp_path, 50)
    assert _numbers(store.read(0, 50)) == np.argsort(id_hashes(_records(50)[0])).tolist()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_reads_what_numpy_reads(tmp_path: Path, dtype: str) -> None:
    store = _store(tmp_path, 30, dtype)
    whole = np.load(store.path)
    assert (store.shape, store.dtype, len(store)) == ((30, *SHAPE), np.dtype(dtype), 30)
    assert store.image_bytes == 24 * np.dtype(dtype).itemsize
    for start, stop in ((0, 30), (3, 8), (29, 30), (25, 99), (4, 4)):
        np.testing.assert_array_equal(store.read(start, stop), whole[start:stop])
    np.testing.assert_array_equal(np.concatenate(list(store.batches(7))), whole)
    assert [len(batch) for batch in store.batches(7)] == [7, 7, 7, 7, 2]


def test_a_store_of_no_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no image"):
        _written(tmp_path / "store.npy", list)


@settings(deadline=None, max_examples=80)
@given(
    count=st.integers(1, 70),
    rows=st.integers(1, 80),
    buffer_bytes=st.integers(0, 5000),
    seed=st.integers(0, 2**32),
)
def test_an_epoch_holds_each_image_once(
    tmp_path_factory: pytest.TempPathFactory, count: int, rows: int, buffer_bytes: int, seed: int
) -> None:
    store = _store(tmp_path_factory.getbasetemp(), count)
    groups = list(store.shuffled_batch_groups(rows, buffer_bytes, np.random.default_rng(seed)))
    batches = [batch for group in groups for batch in group]
    numbers = [number for batch in batches for number in _numbers(batch)]
    assert sorted(numbers) == list(range(count))
    assert [len(batch) for batch in batches[:-1]] == [rows] * (len(batches) - 1)
    assert 1 <= len(batches[-1]) <= rows


@pytest.mark.parametrize("buffer_bytes", [0, 500, 10**6], ids=["batch", "some", "all"])
def test_shuffling_follows_the_generator(tmp_path: Path, buffer_bytes: int) -> None:
    store = _store(tmp_path, 64)

    def epoch(generator: np.random.Generator) -> list[int]:
        groups = store.shuffled_batch_groups(8, buffer_bytes, generator)
        return [number for group in groups for batch in group for number in _numbers(batch)]

    generator = np.random.default_rng(3)
    first, second = epoch(generator), epoch(generator)
    assert epoch(np.random.default_rng(3)) == first
    assert epoch(np.random.default_rng(4)) != first
    assert second != first, "each epoch has an order of its own"
    assert first != _numbers(store.read(0, 64))


def test_buffers_come_in_an_order_of_their_own(tmp_path: Path) -> None:
    store = _store(tmp_path, 64)
    stored = _numbers(store.read(0, 64))
    groups = store.shuffled_batch_groups(8, 0, np.random.default_rng(0))
    # A buffer of one batch: each batch is a run of eight in stored order.
    runs = [sorted(stored.index(n) for n in _numbers(batch)) for group in groups for batch in group]
    assert sorted(runs) == [list(range(start, start + 8)) for start in range(0, 64, 8)]
    assert runs != sorted(runs)


def test_a_buffer_holds_no_more_than_it_may(tmp_path: Path) -> None:
    store = _store(tmp_path, 64)
    read, asked = store.read, []

    class Watched(ImageStore):
        def read(self, start: int, stop: int) -> np.ndarray:
            asked.append(stop - start)
            return read(start, stop)

    limit = 20 * store.image_bytes
    list(Watched(store.path).shuffled_batch_groups(8, limit, np.random.default_rng(0)))
    assert max(asked) == 16, "the greatest multiple of the batch that fits"


@pytest.mark.parametrize(("count", "rows"), [(24, 8), (30, 8), (5, 8), (3000, 8), (30_000, 7)])
def test_groups_hold_the_batches_in_their_order_and_are_small(
    tmp_path: Path, count: int, rows: int
) -> None:
    np.save(tmp_path / "store.npy", np.arange(count * 100, dtype=np.uint32).reshape(count, 5, 20))
    store = ImageStore(tmp_path / "store.npy")
    for groups, expected in (
        (list(store.batch_groups(rows)), np.load(store.path)),
        (
            list(store.shuffled_batch_groups(rows, 10**9, np.random.default_rng(5))),
            np.load(store.path)[_order_of_one_buffer(count, seed=5)],
        ),
    ):
        batches = [batch for group in groups for batch in group]
        assert [len(batch) for batch in batches[:-1]] == [rows] * (len(batches) - 1)
        np.testing.assert_array_equal(np.concatenate(batches), expected)
        assert max(group.nbytes for group in groups) <= max(1 << 20, rows * store.image_bytes)
        assert len(groups) <= 2 + store.image_bytes * count / (1 << 19), "few are small"


def _order_of_one_buffer(count: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    generator.permutation(1)  # for the buffers
    return generator.permutation(count)


ids_strategy = st.lists(st.text(string.printable + "é猫", max_size=30), max_size=30, unique=True)


def _splits(ids: list[str], sizes: dict[str, int]) -> list[str]:
    """The split of each record, in the order of the ids."""
    order = SplitOrder(id_hashes(ids), sizes)
    ranks = order.ranker()(id_hashes(ids)).tolist()
    return [next(s for s, within in order.ranges.items() if rank in within) for rank in ranks]


@settings(deadline=None)
@given(ids=ids_strategy, seed=st.integers(0, 100), data=st.data())
def test_splits_are_exact_and_the_same_in_any_order(
    ids: list[str], seed: int, data: st.DataObject
) -> None:
    validation = data.draw(st.integers(0, len(ids)))
    calibration = data.draw(st.integers(0, len(ids) - validation))
    sizes = {VALIDATION: validation, CALIBRATION: calibration}
    sizes[TRAIN] = len(ids) - validation - calibration
    order = np.random.default_rng(seed).permutation(len(ids))
    found = _splits(ids, sizes)
    assert _splits([ids[i] for i in order], sizes) == [found[i] for i in order]
    assert {split: found.count(split) for split in SPLITS} == sizes
    # Those with the least hashes validate, the next ones calibrate.
    ascending = sorted(range(len(ids)), key=lambda i: id_hashes([ids[i]])[0])
    assert {found[i] for i in ascending[:validation]} <= {VALIDATION}
    assert {found[i] for i in ascending[validation + calibration :]} <= {TRAIN}


@settings(deadline=None)
@given(
    numbers=st.lists(st.integers(0, 9), min_size=1, max_size=60),
    held_out=st.integers(0, 30),
    rows=st.integers(1, 20),
)
def test_records_of_one_id_stay_on_one_side(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], held_out: int, rows: int
) -> None:
    ids, count = [f"r{number}" for number in numbers], len(numbers)
    sizes = {VALIDATION: min(held_out, count)}
    sizes[TRAIN] = count - sizes[VALIDATION]
    order = SplitOrder(id_hashes(ids), sizes)
    assert sum(order.sizes.values()) == count
    ranker = order.ranker()
    parts = [ranker(id_hashes(ids[start : start + rows])) for start in range(0, count, rows)]
    ranks = np.concatenate(parts)
    assert sorted(ranks) == list(range(count)), "each place is taken once"
    in_train = {number: set() for number in numbers}
    for number, rank in zip(numbers, ranks.tolist(), strict=True):
        in_train[number].add(rank in order.ranges[TRAIN])
    assert all(len(sides) == 1 for sides in in_train.values())


_GROUPS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40)), min_size=24, max_size=80)


@settings(deadline=None)
@given(records=_GROUPS, seed=st.integers(0, 100), rows=st.integers(1, 30), data=st.data())
def test_records_of_one_group_stay_on_one_side(
    records: list[tuple[int, int]], seed: int, rows: int, data: st.DataObject
) -> None:
    groups, ids = ([str(value) for value in values] for values in zip(*records, strict=True))
    hashes, keys, count = id_hashes(ids), id_hashes(groups), len(ids)
    validation = data.draw(st.integers(0, count))
    calibration = data.draw(st.integers(0, count - validation))
    wanted = {VALIDATION: validation, CALIBRATION: calibration}
    wanted[TRAIN] = count - validation - calibration
    order = SplitOrder(hashes, wanted, keys)
    arrival = np.random.default_rng(seed).permutation(count)
    ranker, ranks = order.ranker(), np.empty(count, int)
    for start in range(0, count, rows):
        part = arrival[start : start + rows]
        ranks[part] = ranker(hashes[part], keys[part])
    assert sorted(ranks) == list(range(count)), "each place is taken once"
    by_rank = np.argsort(ranks)
    held = {split: by_rank[within.start : within.stop] for split, within in order.ranges.items()}
    sides = {split: {groups[row] for row in rows} for split, rows in held.items()}
    assert sum(map(len, sides.values())) == len(set(groups)) == sum(order.groups.values())
    assert {split: len(side) for split, side in sides.items()} == order.groups
    for rows in held.values():
        assert np.all(np.diff(hashes[rows].astype(float)) >= 0), "by the ids, whatever the groups"
    _assert_as_full_as_can_be(order, wanted, groups)


def _assert_as_full_as_can_be(order: SplitOrder, wanted: dict[str, int], groups: list[str]) -> None:
    """Taken from the least hash, a split has the groups that it needs to be full and no more,
    unless none would be left for one that follows."""
    left = sorted(set(groups), key=lambda group: id_hashes([group])[0])
    for split, later in ((VALIDATION, (CALIBRATION, TRAIN)), (CALIBRATION, (TRAIN,))):
        spare, size, taken = sum(wanted[name] > 0 for name in later), 0, 0
        while size < wanted[split] and len(left) > spare:
            size, taken = size + groups.count(left.pop(0)), taken + 1
        assert (order.sizes[split], order.groups[split]) == (size, taken)


def test_the_first_records_of_grouped_ones_are_a_random_part(tmp_path: Path) -> None:
    ids, images = _records(3000)
    groups = [str(number // 100) for number in range(3000)]
    order = SplitOrder(id_hashes(ids), split_sizes(3000, 0.1, 0.1, 0.01), id_hashes(groups))
    batches = (
        (ids[start : start + 70], images[start : start + 70], groups[start : start + 70])
        for start in range(0, 3000, 70)
    )
    store = write_image_stores({TRAIN: tmp_path / "store.npy"}, order, batches)[TRAIN]
    assert len(store) == 2400
    numbers = np.array(_numbers(store.read(0, 2400)))
    assert len({number // 100 for number in numbers}) == 24
    # Any group is equally likely, and the numbers are in no order.
    counts = np.unique(numbers[:480] // 100, return_counts=True)[1]
    assert stats.chisquare(counts).pvalue > 1e-3
    assert stats.kendalltau(np.arange(2400), numbers).pvalue > 1e-3


def test_few_or_large_groups_are_told() -> None:
    def order(*counts: int) -> SplitOrder:
        ids = list(map(str, range(sum(counts))))
        groups = np.repeat(np.arange(len(counts)), counts).astype(str).tolist()
        sizes = split_sizes(len(ids), 0.1, None, 0.01)
        return SplitOrder(id_hashes(ids), sizes, id_hashes(groups))

    assert too_few_groups(order(50, 50), "part") == (
        "training.group: too few values of 'part': 2. At least 3 are needed, one each to "
        "train, validate and calibrate"
    )
    large = order(80, 80, 80)
    assert large.sizes == {TRAIN: 80, VALIDATION: 80, CALIBRATION: 80}
    assert group_advice(large, "part") == (
        "the groups of training.group 'part' are too large for splits of the intended sizes: 80 "
        "train, not 117, 80 validation, not 24, 80 calibration, not 99 records; use a column with "
        "more and smaller groups, if there is one"
    )
    assert group_advice(order(*[10] * 24), "part") is None
    assert "leaves too few records in a split: " in too_few_groups(order(1, 30, 1, 1), "part")


def test_each_split_is_written_to_its_file_and_looked_at(tmp_path: Path) -> None:
    ids, images = _records(60)
    order = SplitOrder(id_hashes(ids), split_sizes(60, 0.1, 0.2, 0.01))
    seen: list[Part] = []
    paths = {split: tmp_path / f"{split}.npy" for split in (TRAIN, CALIBRATION)}
    reader = _reader(ids, images, np.arange(60), 7)
    stores = write_image_stores(paths, order, reader(), [seen.append])
    assert {split: len(store) for split, store in stores.items()} == {TRAIN: 40, CALIBRATION: 12}
    ascending = np.argsort(id_hashes(ids)).tolist()
    assert _numbers(stores[CALIBRATION].read(0, 12)) == ascending[8:20]
    assert _numbers(stores[TRAIN].read(0, 40)) == ascending[20:]
    for part in seen:
        numbers = _numbers(part.images)
        assert part.ids == [ids[number] for number in numbers]
        places = [order.ranges[part.split].start + place for place in part.places]
        assert [ascending[place] for place in places] == numbers
    assert sum(len(part.ids) for part in seen) == 60


@pytest.mark.parametrize(
    ("records", "shares", "sizes"),
    [
        (1000, (0.1, 0.1), (800, 100, 100)),
        (60, (0.1, 0.1), (44, 8, 8)),
        (24, (0.1, 0.1), (8, 8, 8)),
        (107, (0.25, 0.3), (48, 27, 32)),
        (240, (0.1, None), (117, 24, 99)),
        (219, (0.1, None), (175, 22, 22)),
        (1797, (0.1, None), (1437, 180, 180)),
    ],
)
def test_shares_are_exact_and_no_split_too_small(
    records: int, shares: tuple[float, float | None], sizes: tuple[int, int, int]
) -> None:
    found = split_sizes(records, *shares, 0.01)
    assert tuple(found[split] for split in (TRAIN, VALIDATION, CALIBRATION)) == sizes


@pytest.mark.parametrize("records", [0, 1, 5, 23])
def test_the_least_number_is_said_and_what_it_allows(records: int) -> None:
    with pytest.raises(InputError) as caught:
        split_sizes(records, 0.1, 0.1, 0.01)
    assert str(caught.value) == (
        f"too few records to train on: {records}. At least 24 are needed, 8 each to train, "
        "validate and calibrate, which give no p-value below 0.11; flagging any at fpr 0.01 needs "
        "99 for calibration alone"
    )


@pytest.mark.parametrize("fpr", [0.01, 0.05, 0.08, 0.09, 0.1, 0.5])
@pytest.mark.parametrize("records", range(24, 40))
def test_so_many_can_be_trained_on_at_any_rate(records: int, fpr: float) -> None:
    sizes = split_sizes(records, 0.1, None, fpr)
    assert sum(sizes.values()) == records
    assert min(sizes.values()) >= 8


def test_hashes_are_the_same_on_every_machine_and_in_every_run() -> None:
    # blake2b-64, big-endian: from `printf a | b2sum -l 64`.
    assert [hex(value) for value in id_hashes(["a", "é"])] == [
        "0x40f89e395b66422f",
        "0xcb1abf8beff3192f",
    ]
    assert id_hashes([]).shape == (0,)


def test_hashes_are_uniform() -> None:
    hashes = id_hashes(f"folder/{i}.png" for i in range(20_000))
    assert stats.kstest(hashes / 2.0**64, "uniform").pvalue > 1e-3


def test_a_greater_share_only_adds_records() -> None:
    ids = list(map(str, range(2000)))
    few = _splits(ids, {VALIDATION: 100, CALIBRATION: 200, TRAIN: 1700})
    many = _splits(ids, {VALIDATION: 400, CALIBRATION: 200, TRAIN: 1400})
    assert all(m == VALIDATION for f, m in zip(few, many, strict=True) if f == VALIDATION)
