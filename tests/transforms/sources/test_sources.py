"""Image files, NumPy archives and embedded digits as image records, and the choice of a source."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to
from PIL import Image
from sklearn.datasets import load_digits

from ae_models.errors import ConfigError, InputError
from tests.support.reading import in_small_tasks, read_batches, read_rows
from transforms import ReadImages
from transforms.records.batches import BatchLimits
from transforms.records.pixels import raw_layout
from transforms.records.tallies import EXCLUDED, PASSED_OVER, READ
from transforms.sources import npz, resolve_inputs


def _ids(*uris: str | Path) -> list[str]:
    return [row["id"] for row in read_rows(*uris)]


def _png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (4, 4), level).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two folders with two images each, and two files that are not images."""
    root = tmp_path / "pets"
    for number, name in enumerate(["cat/a.png", "cat/b.PNG", "dog/a.png", "dog/deep/c.png"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(_png(number))
    (root / "notes.txt").write_text("none")
    (root / "dog" / "index.csv").write_text("none")
    return root


def test_folder_gives_relative_ids_and_parents_as_labels(pets: Path) -> None:
    rows = read_rows(pets)
    assert [(row["id"], row["label"]) for row in rows] == [
        ("cat/a.png", "cat"),
        ("cat/b.PNG", "cat"),
        ("dog/a.png", "dog"),
        ("dog/deep/c.png", "deep"),
    ]
    assert [row["source"] for row in rows] == [str(pets / row["id"]) for row in rows]
    assert [row["image"] for row in rows] == [_png(number) for number in range(4)]
    assert _ids(f"{pets}/") == [row["id"] for row in rows]


def test_ids_are_relative_to_the_fixed_part_of_a_glob_and_the_folder_of_a_file(pets: Path) -> None:
    assert _ids(pets / "*/a.png") == ["cat/a.png", "dog/a.png"]
    assert _ids(pets / "cat/*") == ["a.png", "b.PNG"]
    (row,) = read_rows(pets / "cat" / "a.png")
    assert (row["id"], row["label"]) == ("a.png", "cat")


def test_the_current_folder_has_a_name(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pets / "cat")
    assert [(row["id"], row["label"]) for row in read_rows(".")] == [
        ("a.png", "cat"),
        ("b.PNG", "cat"),
    ]


def test_a_folder_with_a_hash_in_its_name_is_a_folder(pets: Path) -> None:
    renamed = pets.rename(pets.with_name("pets#2"))
    assert _ids(renamed)[0] == "cat/a.png"


def test_inputs_in_different_folders_keep_ids_apart(pets: Path) -> None:
    assert _ids(pets / "cat" / "a.png", pets / "dog" / "a.png") == ["cat/a.png", "dog/a.png"]
    np.savez(pets / "dog" / "set.npz", x=np.zeros((1, 2, 2), np.uint8))
    np.savez(pets / "set.npz", x=np.zeros((1, 2, 2), np.uint8))
    assert _ids(pets / "dog/set.npz", pets / "set.npz") == ["dog/set.npz#0", "set.npz#0"]


@pytest.mark.parametrize("again", ["{0}", "{0}/", "{0}/../pets", "{0}/cat", "{0}/*/a.png"])
def test_a_record_that_two_inputs_hold_is_refused_or_read_once(pets: Path, again: str) -> None:
    """The contract: an id is unique in the run."""
    try:
        ids = _ids(pets, again.format(pets))
    except InputError as error:
        assert str(pets) in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert len(set(ids)) == len(ids)


def test_limits_of_rows_and_bytes_bound_each_batch(pets: Path) -> None:
    by_rows = read_batches(pets, limits=BatchLimits(rows=3))
    assert [len(batch) for batch in by_rows] == [3, 1]
    size = len(_png(0))
    by_bytes = read_batches(pets, limits=BatchLimits(image_bytes=2 * size))
    assert [len(batch) for batch in by_bytes] == [2, 2]


def test_empty_and_vanished_files_are_rejects(pets: Path) -> None:
    (pets / "cat" / "a.png").write_bytes(b"")
    (source,) = resolve_inputs([str(pets / "cat")])
    (task,) = source.tasks()
    (pets / "cat" / "b.PNG").unlink()
    rows = [row for batch in source.read(task, BatchLimits()) for row in batch.to_pylist()]
    assert [row["id"] for row in rows] == ["a.png", "b.PNG"]
    assert [row["reject"]["reason"] for row in rows] == ["empty", "unreadable"]
    assert all(row["reject"]["stage"] == "read" and row["image"] is None for row in rows)


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["{0}/missing"],
        ["{0}/missing/*.png"],
        ["{0}/empty"],
        ["{0}/notes.txt"],
        ["{0}/data.tar"],
        ["builtin:cifar"],
        ["{0}/missing.npz#test"],
        ["{0}/missing.parquet"],
        ["{0}/missing.tfrecord"],
    ],
)
def test_unusable_inputs_are_errors_of_the_user(pets: Path, uris: list[str]) -> None:
    (pets / "empty").mkdir()
    (pets / "data.tar").write_bytes(b"tar")
    with pytest.raises(InputError):
        beam.Pipeline(runner="FnApiRunner") | ReadImages([uri.format(pets) for uri in uris])


def test_inputs_whose_labels_do_not_fit_together_are_refused(pets: Path) -> None:
    with pytest.raises(InputError, match="label"):
        read_rows(pets, "builtin:digits")


def test_a_condition_on_an_unknown_column_is_refused(pets: Path) -> None:
    with pytest.raises(ConfigError, match=r"lable.*label"):
        beam.Pipeline(runner="FnApiRunner") | ReadImages(str(pets), where=["lable=cat"])


def test_read_images_counts_what_it_read_excluded_and_passed_over(pets: Path) -> None:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        read = pipeline | ReadImages(str(pets), where=["label!=cat"], limits=BatchLimits(rows=1))
        ids = read.records | beam.FlatMap(lambda batch: batch.column("id").to_pylist())
        totals = (
            read.tallies
            | beam.FlatMap(lambda batch: [(r["name"], r["count"]) for r in batch.to_pylist()])
            | beam.CombinePerKey(sum)
        )
        assert_that(ids, equal_to(["dog/a.png", "dog/deep/c.png"]), label="ids")
        assert_that(totals, equal_to([(READ, 2), (EXCLUDED, 2), (PASSED_OVER, 2)]), label="counts")


def test_digits_are_those_of_scikit_learn() -> None:
    digits = load_digits()
    (batch, *_) = read_batches("builtin:digits", limits=BatchLimits(rows=100))
    assert raw_layout(batch.schema.field("image").metadata) == ((8, 8, 1), np.dtype("uint8"))
    rows = read_rows("builtin:digits", limits=BatchLimits(rows=100))
    assert [row["id"] for row in rows] == [f"digits/{n}" for n in range(len(digits.target))]
    assert [row["label"] for row in rows] == digits.target.tolist()
    pixels = np.stack([np.frombuffer(row["image"], np.uint8) for row in rows])
    assert np.array_equal(pixels, np.rint(digits.data * (255 / 16)).astype(np.uint8))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("shape", "dtype"), [((7, 3, 2), "uint8"), ((7, 3, 2, 3), "uint16"), ((7, 3, 2, 5), "uint8")]
)
def test_npz_parts(tmp_path: Path, save: Any, shape: tuple[int, ...], dtype: str) -> None:
    x = np.random.default_rng(0).integers(0, 250, shape, dtype)
    y = np.arange(7)
    save(tmp_path / "set.npz", x_test=x, y_test=y, x_train=x[:2])
    row_bytes = x[0].nbytes
    limits = BatchLimits(rows=5, image_bytes=3 * row_bytes)
    batches = read_batches(tmp_path / "set.npz#test", limits=limits)
    assert [len(batch) for batch in batches] == [3, 3, 1]
    layout = raw_layout(batches[0].schema.field("image").metadata)
    assert layout == ((*shape[1:], 1)[:3], np.dtype(dtype))
    rows = read_rows(tmp_path / "set.npz#test", limits=limits)
    assert [row["id"] for row in rows] == [f"set.npz#test/{n}" for n in range(7)]
    assert [row["label"] for row in rows] == y.tolist()
    assert b"".join(row["image"] for row in rows) == x.tobytes()
    both = _ids(tmp_path / "set.npz#test", tmp_path / "set.npz#train")
    assert len(set(both)) == len(both) == 9


@pytest.mark.parametrize("labels", [["cat", "dog"], [0.5, 1.5], [True, False]])
def test_npz_labels_of_other_types(tmp_path: Path, labels: list[Any]) -> None:
    np.savez(tmp_path / "set.npz", x=np.zeros((2, 2, 2), np.uint8), y=np.array(labels))
    assert [row["label"] for row in read_rows(tmp_path / "set.npz")] == labels


def test_npz_labels_of_the_other_byte_order_are_read_or_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x=np.zeros((2, 2, 2), np.uint8), y=np.array([1, 2], ">i8"))
    try:
        labels = [row["label"] for row in read_rows(tmp_path / "set.npz")]
    except InputError as error:
        assert "y" in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert labels == [1, 2]


def test_npz_glob_is_read_or_refused_by_name(tmp_path: Path) -> None:
    for name in "ab":
        np.savez(tmp_path / f"{name}.npz", x_test=np.zeros((1, 2, 2), np.uint8))
    try:
        ids = _ids(tmp_path / "*.npz#test")
    except InputError as error:
        assert "*.npz" in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert ids == ["a.npz#test/0", "b.npz#test/0"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"x_test": np.zeros((2, 2, 2), np.uint8), "x_train": np.zeros((2, 2, 2))},
            "#test.*#train",
        ),
        ({"x": np.zeros((2, 2, 2), np.float32)}, "uint8 or uint16.*float32"),
        ({"x": np.zeros((2, 2), np.uint8)}, r"\(H, W\)"),
        ({"x": np.zeros((2, 2, 2), np.uint8), "y": np.zeros(3)}, "labels"),
        ({"x": np.asfortranarray(np.zeros((2, 3, 2), np.uint8))}, "C order"),
        ({"x": np.array([[["a"]]], object)}, "array of plain values"),
    ],
)
def test_npz_arrays_that_are_no_images(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(InputError, match=message):
        read_rows(tmp_path / "set.npz")


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_npz_files_that_are_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, x=np.zeros((9, 9, 9), np.uint8))
    path.write_bytes(path.read_bytes()[:80] if content is None else content)
    with pytest.raises(InputError, match=r"set\.npz"):
        read_rows(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_damage_is_noticed_and_loses_no_record(tmp_path: Path, save: Any) -> None:
    path = tmp_path / "set.npz"
    save(path, x=np.random.default_rng(0).integers(0, 256, (50, 32, 32), np.uint8))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    rows = read_rows(path, limits=BatchLimits(rows=10))
    assert [row["id"] for row in rows] == [f"set.npz#{n}" for n in range(50)]
    assert {row["reject"]["reason"] for row in rows if row["reject"]} == {"unreadable"}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("sizes", [True, False])
def test_npz_cut_short_gives_what_is_there(
    tmp_path: Path, save: Any, share: float, sizes: bool
) -> None:
    """Truncated later, or left by a writer that was interrupted before it filled in the sizes."""
    path = tmp_path / "set.npz"
    x = np.random.default_rng(0).integers(0, 256, (50, 32, 32), np.uint8)
    save(path, x=x)
    data = bytearray(path.read_bytes())
    if not sizes:
        name = data.index(b"x.npy") + len("x.npy")
        data[14:18], data[name + 4 : name + 20] = bytes(4), bytes(16)
    path.write_bytes(data[: int(len(data) * share)])
    rows = read_rows(path, limits=BatchLimits(rows=1))
    assert [row["id"] for row in rows] == [f"set.npz#{n}" for n in range(50)]
    good = [row for row in rows if row["reject"] is None]
    assert 50 * share - 6 < len(good) <= 50 * share  # rows in the block with the cut are lost
    assert b"".join(row["image"] for row in good) == x[: len(good)].tobytes()
    assert all(row["reject"] for row in rows[len(good) :])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_cut_behind_its_images_is_told(tmp_path: Path, save: Any) -> None:
    """There may have been labels, or arrays that are not requested."""
    path = tmp_path / "set.npz"
    x, y = np.random.default_rng(0).integers(0, 256, (9, 32, 32), np.uint8), np.arange(9)
    save(path, x=x, y=y)
    path.write_bytes(path.read_bytes()[:-40])
    rows = read_rows(path)
    assert [(row["id"], row["label"]) for row in rows] == [
        *((f"set.npz#{n}", n) for n in range(9)),
        ("set.npz#", None),
    ]
    assert "truncated" in rows[-1]["reject"]["message"]
    np.savez(tmp_path / "whole.npz", x=x, y=y)
    data = (tmp_path / "whole.npz").read_bytes()
    path.write_bytes(data[: data.index(b"y.npy") - 10])
    rows = read_rows(tmp_path / "set.npz")
    assert [row["image"] for row in rows[:9]] == [image.tobytes() for image in x]
    assert [row["reject"] is None for row in rows] == [True] * 9 + [False]


def _by_task(path: Path) -> list[list[dict[str, Any]]]:
    """The records of each task of 20 rows; the last task is read first."""
    (source,) = in_small_tasks(path)
    tasks = list(source.tasks())
    read = [
        [row for batch in source.read(task, BatchLimits(rows=8)) for row in batch.to_pylist()]
        for task in reversed(tasks)
    ]
    return read[::-1]


@pytest.mark.parametrize("labels", [None, np.arange(50), np.array(["a", "bc"] * 25)])
@pytest.mark.parametrize("dtype", ["uint8", ">u2"])
def test_npz_that_is_stored_is_read_in_ranges(
    tmp_path: Path, dtype: str, labels: np.ndarray | None
) -> None:
    x = np.random.default_rng(0).integers(0, 250, (50, 4, 3, 2)).astype(dtype)
    arrays = {"x": x} if labels is None else {"y": labels, "x": x}
    rows = {}
    for save in (np.savez, np.savez_compressed):
        path = tmp_path / save.__name__ / "set.npz"
        path.parent.mkdir()
        save(path, other=x, **arrays)
        tasks = _by_task(path)
        assert [len(task) for task in tasks] == ([20, 20, 10] if save is np.savez else [50])
        rows[save] = [{**row, "source": ""} for task in tasks for row in task]
    assert rows[np.savez] == rows[np.savez_compressed]
    assert [row["id"] for row in rows[np.savez]] == [f"set.npz#{n}" for n in range(50)]
    pixels = b"".join(row["image"] for row in rows[np.savez])
    assert pixels == x.astype(x.dtype.newbyteorder("=")).tobytes()
    if labels is not None:
        assert [row["label"] for row in rows[np.savez]] == labels.tolist()


@pytest.mark.parametrize("row", [3, 30, 49])
@pytest.mark.parametrize("array", ["x", "y"])
def test_npz_damage_in_any_range_is_noticed_by_the_last(
    tmp_path: Path, array: str, row: int
) -> None:
    path = tmp_path / "set.npz"
    x = np.random.default_rng(0).integers(0, 256, (50, 32, 32), np.uint8)
    arrays = {"x": x, "y": np.array([f"{n:0200}" for n in range(50)])}
    np.savez(path, **arrays)
    data = bytearray(path.read_bytes())
    data[data.index(arrays[array][row].tobytes())] ^= 255
    path.write_bytes(data)
    rows = [row for task in _by_task(path) for row in task]
    assert [row["id"] for row in rows] == [f"set.npz#{n}" for n in range(50)]
    assert all(row["reject"] is None for row in rows[:48])  # 48 and 49 are the last batch
    assert {row["reject"]["reason"] for row in rows[48:]} == {"unreadable"}


@pytest.mark.parametrize("missing", [1, 700, 1100, 2500, 5000])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_npz_with_fewer_rows_than_its_header_says_loses_none(
    tmp_path: Path, compression: int, missing: int
) -> None:
    file = io.BytesIO()
    x = np.random.default_rng(0).integers(0, 256, (50, 10, 10), np.uint8)
    np.save(file, x)
    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("x.npy", file.getvalue()[:-missing])
        archive.writestr("other.npy", file.getvalue())  # later members must not be mistaken for it
    rows = [row for task in _by_task(path) for row in task]
    assert [row["id"] for row in rows] == [f"set.npz#{n}" for n in range(50)]
    whole = 50 - -(-missing // 100)
    good = [row for row in rows if row["reject"] is None]
    assert whole - 8 < len(good) <= whole
    assert b"".join(row["image"] for row in good) == x[: len(good)].tobytes()


@pytest.mark.parametrize("rows", [None, 0, 30, 40, 60])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_that_changes_after_it_was_listed(tmp_path: Path, save: Any, rows: int | None) -> None:
    """All rows that exist, and rejects for those that do not; nothing that is not a row."""
    path = tmp_path / "set.npz"
    np.savez(path, x=np.zeros((50, 4, 4), np.uint8))
    (source,) = in_small_tasks(path)
    tasks = list(source.tasks())
    path.unlink()
    if rows is not None:
        save(path, x=np.arange(rows, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2))
    read = [
        row for task in tasks for b in source.read(task, BatchLimits()) for row in b.to_pylist()
    ]
    assert len({row["id"] for row in read}) == len(read)
    good = [row for row in read if row["reject"] is None]
    for row in good:
        assert row["image"] == bytes([int(row["id"].rpartition("#")[2])]) * 16
    if rows == 60 and save is np.savez:
        assert len(good) == len(read) == 60
    else:
        assert len(good) < len(read)
        assert {row["reject"]["reason"] for row in read if row["reject"]} == {"unreadable"}


def test_npz_range_reads_its_own_rows_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, row_bytes = tmp_path / "set.npz", 100 * 100
    np.savez(path, x=np.zeros((200, 100, 100), np.uint8))
    asked: list[int] = []

    class Counted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            asked.append(len(data))
            return data

    (source,) = in_small_tasks(path)
    tasks = list(source.tasks())
    monkeypatch.setattr(npz, "open_binary", lambda name: Counted(Path(name).read_bytes()))
    list(source.read(tasks[5], BatchLimits(rows=4)))
    assert 20 * row_bytes <= sum(asked) < 21 * row_bytes + 5_000  # plus the directory and headers


def test_a_name_that_is_no_utf8_is_written_out(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(_png(1))
    (row,) = read_rows(folder)
    assert row["id"] == "caf\\xe9.png"
    assert row["image"] == _png(1)


def test_a_glob_without_a_folder_is_of_the_current_one(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pets / "cat")
    assert _ids("*.png") == ["a.png"]
