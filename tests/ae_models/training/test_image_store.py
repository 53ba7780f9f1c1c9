"""Splits and the image store: the same whatever order, batch or worker the records came in."""

import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ae_models.training.image_store import Batch, ImageStore, write_image_store
from ae_models.training.splits import (
    CALIBRATION,
    SPLITS,
    TRAIN,
    VALIDATION,
    assign_splits,
    id_hashes,
)

SHAPE = (3, 4, 2)


def _records(count: int, dtype: str = "uint16") -> tuple[list[str], np.ndarray]:
    """Ids, and images of which each holds its own number."""
    images = np.broadcast_to(np.arange(count).reshape(-1, 1, 1, 1), (count, *SHAPE))
    return [f"record/{i}" for i in range(count)], images.astype(dtype)


def _reader(
    ids: list[str], images: np.ndarray, order: np.ndarray, rows: int
) -> Callable[[], list[Batch]]:
    parts = [order[start : start + rows] for start in range(0, len(order), rows)]
    return lambda: [([ids[i] for i in part], images[part]) for part in parts]


def _store(path: Path, count: int, dtype: str = "uint16") -> ImageStore:
    ids, images = _records(count, dtype)
    return write_image_store(path / "store.npy", _reader(ids, images, np.arange(count), 16))


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
    store = write_image_store(tmp_path / "other.npy", reader)
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


@pytest.mark.parametrize("reads", [[], [([], np.zeros((0, *SHAPE), np.uint8))]])
def test_a_store_of_no_image_is_refused(tmp_path: Path, reads: list[Batch]) -> None:
    with pytest.raises(ValueError, match="no image"):
        write_image_store(tmp_path / "store.npy", lambda: reads)


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
    generator.permutation(1)  # of the buffers
    return generator.permutation(count)


ids_strategy = st.lists(st.text(string.printable + "é猫", max_size=30), max_size=30, unique=True)


@settings(deadline=None)
@given(ids=ids_strategy, seed=st.integers(0, 100))
def test_a_split_depends_on_the_id_alone(ids: list[str], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(ids))
    together = assign_splits(id_hashes([ids[i] for i in order]), 0.3, 0.3)
    alone = [assign_splits(id_hashes([ids[i]]), 0.3, 0.3)[0] for i in order]
    assert together.tolist() == alone
    assert set(alone) <= set(SPLITS)


def test_hashes_are_the_same_on_every_machine_and_in_every_run() -> None:
    # blake2b-64, big-endian: from `printf a | b2sum -l 64`.
    assert [hex(value) for value in id_hashes(["a", "é"])] == [
        "0x40f89e395b66422f",
        "0xcb1abf8beff3192f",
    ]
    assert id_hashes([]).shape == (0,)


def test_shares_are_about_right_and_hashes_uniform() -> None:
    hashes = id_hashes(f"folder/{i}.png" for i in range(20_000))
    assert stats.kstest(hashes / 2.0**64, "uniform").pvalue > 1e-3
    names = assign_splits(hashes, 0.1, 0.25)
    counts = [int(np.sum(names == name)) for name in (VALIDATION, CALIBRATION, TRAIN)]
    assert sum(counts) == 20_000
    assert stats.chisquare(counts, [2000, 5000, 13_000]).pvalue > 1e-3


def test_a_greater_share_only_adds_records() -> None:
    hashes = id_hashes(map(str, range(2000)))
    few, many = assign_splits(hashes, 0.05, 0.1), assign_splits(hashes, 0.2, 0.1)
    assert np.all(many[few == VALIDATION] == VALIDATION)


@pytest.mark.parametrize(
    ("position", "split"),
    [(0, VALIDATION), (0.25, CALIBRATION), (0.499, CALIBRATION), (0.5, TRAIN), (0.999, TRAIN)],
)
def test_shares_are_half_open_ranges_of_the_hash(position: float, split: str) -> None:
    hashes = np.array([int(position * 2**64)], np.uint64)
    assert assign_splits(hashes, 0.25, 0.25).tolist() == [split]
