"""Which arrays of NumPy files are read as images, and in which layouts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ae_models.errors import InputError
from tests.support.reading import in_small_tasks, read_batches, read_rows
from transforms.records.batches import BatchLimits
from transforms.records.pixels import raw_layout
from transforms.sources import ReadOptions, Source, resolve_inputs

IMAGES = np.random.default_rng(0).integers(2, 256, (9, 6, 8, 3), np.uint8)
NUMBERS = np.arange(9)


def _source(uri: str | Path, **options: Any) -> Source:
    (source,) = resolve_inputs([str(uri)], ReadOptions(**options))
    return source


def _pixels(given: str | Path | Source, limits: BatchLimits | None = None) -> np.ndarray:
    """(N, H, W, C) pixels of all records, none of which is a reject."""
    batches = read_batches(given, limits=limits)
    assert all(batch.column("reject").null_count == len(batch) for batch in batches)
    layout = raw_layout(batches[0].schema.field("image").metadata)
    assert layout is not None
    data = b"".join(value for batch in batches for value in batch.column("image").to_pylist())
    return np.frombuffer(data, layout[1]).reshape(-1, *layout[0])


def _saved(tmp_path: Path, **arrays: np.ndarray) -> Path:
    np.savez(tmp_path / "a.npz", **arrays)
    return tmp_path / "a.npz"


@pytest.mark.parametrize(
    ("names", "part"),
    [
        *((("x", "y"), ""), (("X", "y"), ""), (("images", "labels"), ""), (("image", "label"), "")),
        *((("x_test", "y_test"), "#test"), (("test_images", "test_labels"), "#test")),
        *((("X_test", "y_test"), "#test"), (("test_x", "test_y"), "#test")),
        *((("images", "labels"), "#images"), (("x_test", "y_test"), "")),
        *((("anything", None), ""), (("arr_0", None), ""), (("data", "target"), "")),
    ],
)
def test_arrays_are_found_by_usual_names_or_alone(
    tmp_path: Path, names: tuple[str, str | None], part: str
) -> None:
    x, y = names
    path = _saved(tmp_path, **{x: IMAGES, "weights": np.ones(9)}, **({y: NUMBERS} if y else {}))
    rows = read_rows(f"{path}{part}")
    assert np.array_equal(_pixels(f"{path}{part}"), IMAGES)
    prefix = f"a.npz{part}/" if part else "a.npz#"
    assert [row["id"] for row in rows] == [f"{prefix}{n}" for n in range(9)]
    assert [row.get("label") for row in rows] == (NUMBERS.tolist() if y else [None] * 9)


def test_several_sets_are_told_and_one_can_be_named(tmp_path: Path) -> None:
    path = _saved(tmp_path, train_images=IMAGES, test_images=IMAGES[:2], val_images=IMAGES[:3])
    with pytest.raises(InputError, match=r"#test \(test_images\), #train \(.*\), #val .*"):
        read_rows(path)
    with pytest.raises(InputError, match=r"no array 'x_tset'.*did you mean #test\?"):
        read_rows(f"{path}#tset")
    assert len(read_rows(f"{path}#val")) == 3
    path = _saved(tmp_path, left=IMAGES, right=IMAGES[:2])
    with pytest.raises(InputError, match=r"left \[9, 6, 8, 3\], right .*--image_column"):
        read_rows(path)
    assert len(read_rows(_source(path, image_column="right"))) == 2


def test_arrays_can_be_named(tmp_path: Path) -> None:
    names = np.array([f"r{n}" for n in range(9)])
    path = _saved(tmp_path, a=IMAGES, b=IMAGES[::-1], kind=NUMBERS, y=NUMBERS + 5, name=names)
    source = _source(path, image_column="b", label_column="kind", id_column="name")
    rows = read_rows(source, limits=BatchLimits(rows=4))
    assert [row["id"] for row in rows] == names.tolist()
    assert [row["label"] for row in rows] == NUMBERS.tolist()
    assert np.array_equal(_pixels(source), IMAGES[::-1])
    for option in ("image_column", "label_column", "id_column"):
        with pytest.raises(InputError, match=r"no array 'knd'; did you mean 'kind'\?"):
            read_rows(_source(path, **{"image_column": "b", option: "knd"}))
    with pytest.raises(InputError, match=r"ids of shape \(9, 6, 8, 3\)"):
        read_rows(_source(path, image_column="b", id_column="a"))


@pytest.mark.parametrize("shape", [(9, 6, 8, 3), (9, 6, 8)])
def test_npy_files_are_read_in_ranges(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.save(tmp_path / "a.npy", images)
    (source,) = in_small_tasks(tmp_path / "a.npy", rows=4)
    assert [task[1:] for task in source.tasks()] == [(0, 4), (4, 8), (8, None)]
    assert np.array_equal(_pixels(source).reshape(shape), images)
    assert [row["id"] for row in read_rows(source)] == [f"a.npy#{n}" for n in range(9)]
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data[: len(data) - images[0].nbytes - 1])
    rows = [
        row
        for b in read_batches(tmp_path / "a.npy", limits=BatchLimits(rows=1))
        for row in b.to_pylist()
    ]
    assert [row["reject"] is None for row in rows] == [True] * 7 + [False] * 2
    with pytest.raises(InputError, match="a single array"):
        read_rows(_source(tmp_path / "a.npy", label_column="y"))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_channels_that_come_first_go_last(tmp_path: Path, channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 6, 8, channels), np.uint8)
    path = _saved(tmp_path, x=np.ascontiguousarray(np.moveaxis(images, -1, 1)))
    assert np.array_equal(_pixels(path, BatchLimits(rows=4)), images)


@pytest.mark.parametrize("shape", [(9, 6, 8, 12), (9, 3, 2, 5), (9, 6, 6, 6), (9, 3, 8, 3)])
def test_other_images_are_as_they_are(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert np.array_equal(_pixels(_saved(tmp_path, x=images)), images)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((9, 12, 64, 64), "number of channels is ambiguous, 12 or 64"),
        ((64, 64, 3), "looks like a single image"),
        ((9, 8, 8, 3, 1), r"\(H, W\) or \(H, W, C\)"),
    ],
)
def test_shapes_that_cannot_be_told_are_refused(
    tmp_path: Path, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(InputError, match=rf"a\.npz: x: .*{message}"):
        read_rows(_saved(tmp_path, x=np.zeros(shape, np.uint8)))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("how", ["divided", "multiplied", "whole"])
def test_floats_that_are_levels_exactly_are_read(tmp_path: Path, dtype: str, how: str) -> None:
    values = IMAGES.astype(dtype)
    if how != "whole":
        values = values / 255 if how == "divided" else values * np.dtype(dtype).type(1 / 255)
    found = _pixels(_saved(tmp_path, x=values.astype(dtype)), BatchLimits(rows=4))
    assert found.dtype == np.uint8
    assert np.array_equal(found, IMAGES)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint32"])
def test_16_bits_in_other_types(tmp_path: Path, dtype: str) -> None:
    images = np.random.default_rng(0).integers(0, 65536, (9, 6, 8), np.uint16)
    values = images.astype(dtype)
    if dtype.startswith("float"):
        assert np.array_equal(_pixels(_saved(tmp_path, x=values))[..., 0], images)
        values = (images / 65535).astype(dtype)
    found = _pixels(_saved(tmp_path, x=values))
    assert found.dtype == np.uint16
    assert np.array_equal(found[..., 0], images)


def test_booleans_are_black_and_white(tmp_path: Path) -> None:
    images = IMAGES > 99
    assert np.array_equal(_pixels(_saved(tmp_path, x=images)), images * np.uint8(255))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.random.default_rng(0).random((9, 6, 8)), "k / 255"),
        (np.random.default_rng(0).normal(size=(9, 6, 8)), "scale and round"),
        (IMAGES.astype("float32") * 1.5, "whole numbers"),
        (np.zeros((9, 6, 8), "float32"), "whether 1 means white"),
        (IMAGES.astype("int64") * 1000, "scale and round"),
        (IMAGES.astype("int16") - 9, "scale and round"),
        (np.full((9, 6, 8), np.nan), "scale and round"),
        (np.ones((9, 6, 8), complex), "complex"),
    ],
)
def test_other_numbers_are_refused_with_what_to_do(
    tmp_path: Path, values: np.ndarray, message: str
) -> None:
    with pytest.raises(InputError, match=f"uint8 or uint16.*{message}"):
        read_rows(_saved(tmp_path, x=values))


def test_an_image_of_other_numbers_than_the_first_is_a_reject(tmp_path: Path) -> None:
    values = np.repeat((IMAGES / 255).astype("float32"), 100, axis=0)
    values[700, 0, 0, 0] = 0.5001
    values[800, 0, 0, 0] = np.nan
    rows = read_rows(_saved(tmp_path, x=values))
    assert [n for n, row in enumerate(rows) if row["reject"]] == [700, 800]
    assert rows[700]["reject"]["reason"] == "wrong_bits"
    assert rows[700]["image"] is None
    assert rows[701]["image"] == IMAGES[7].tobytes()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (NUMBERS[:, None], NUMBERS.tolist()),
        (np.array(["a", "bc", "d"] * 3)[:, None], ["a", "bc", "d"] * 3),
        (np.stack([NUMBERS, NUMBERS], 1), [[n, n] for n in range(9)]),
        (IMAGES, [None] * 9),
    ],
)
def test_labels_of_several_axes(tmp_path: Path, labels: np.ndarray, expected: list[Any]) -> None:
    rows = read_rows(_saved(tmp_path, x=IMAGES, y=labels), limits=BatchLimits(rows=4))
    assert [row.get("label") for row in rows] == expected
