"""Which columns of Parquet files may be images, ids and labels, and how to name them."""

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ae_models.config.configuration import ImageConfig
from ae_models.errors import InputError
from tests.support.reading import passed_over_by, read_rows
from transforms.images.decode_batch import decode_batch
from transforms.reading.read import common_carried, read_task
from transforms.records.batches import BatchLimits
from transforms.records.passed_over import Cause, PassedOver
from transforms.records.pixels import raw_layout
from transforms.sources import ReadOptions, Source, resolve_inputs

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SPARK = pa.struct(
    [
        *(("origin", pa.string()), ("height", pa.int32()), ("width", pa.int32())),
        *(("nChannels", pa.int32()), ("mode", pa.int32()), ("data", pa.binary())),
    ]
)
COUNT = 6


def _pixels(channels: int = 3, dtype: str = "uint8") -> np.ndarray:
    """(6, 5, 7, channels), all different."""
    most = 1 + np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, most, (COUNT, 5, 7, channels), dtype)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "PNG")
    return file.getvalue()


PIXELS = _pixels()
PNGS = [_png(image) for image in PIXELS]


def _source(path: Path, **options: Any) -> Source:
    (source,) = resolve_inputs([str(path)], ReadOptions(**options))
    return source


def _written(folder: Path, columns: dict[str, Any], name: str = "a.parquet") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=4)
    return path


def _decoded(source: Source, channels: int = 3, bits: int = 8) -> np.ndarray:
    """The pixels of all records, none of which is a reject."""
    config = ImageConfig(height=5, width=7, channels=channels, bits=bits)
    carried = common_carried([source])
    batches = [
        decode_batch(batch, config)
        for task in source.tasks()
        for batch, _ in read_task(source, task, BatchLimits(rows=3), carried=carried)
    ]
    assert [row for batch in batches for row in batch.column("reject").to_pylist() if row] == []
    pixels = b"".join(value for batch in batches for value in batch.column("image").to_pylist())
    return np.frombuffer(pixels, config.dtype).reshape(-1, 5, 7, channels)


def _spark(pixels: np.ndarray, depth: int) -> pa.Array:
    height, width, channels = pixels.shape[1:]
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    rows = [
        {
            "origin": f"file:///x/{number}.png",
            "height": height,
            "width": width,
            "nChannels": channels,
            "mode": depth + 8 * (channels - 1),
            "data": image[..., order].tobytes(),
        }
        for number, image in enumerate(pixels)
    ]
    return pa.array(rows, SPARK)


ROWS = [{"bytes": png, "path": f"{number}.png"} for number, png in enumerate(PNGS)]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(PNGS, pa.binary()),
        pa.array(PNGS, pa.large_binary()),
        pa.array(PNGS, pa.binary_view()),
        pa.array(PNGS).dictionary_encode(),
        pa.array(ROWS, STRUCT),
        pa.array([[row] for row in ROWS], pa.list_(STRUCT)),
        pa.array([[row, ROWS[0]] for row in ROWS], pa.large_list(STRUCT)),
        pa.array([[png, b"other"] for png in PNGS], pa.list_(pa.binary(), 2)),
        _spark(PIXELS, 0),
        pa.FixedShapeTensorArray.from_numpy_ndarray(PIXELS),
        pa.FixedShapeTensorArray.from_numpy_ndarray(
            np.ascontiguousarray(np.moveaxis(np.repeat(PIXELS, 1, 0), -1, 1))
        ),
    ],
    ids=lambda column: str(column.type)[:40],
)
@pytest.mark.parametrize("name", ["image", "img"])
def test_images_are_found_by_the_type_of_their_column(
    tmp_path: Path, column: pa.Array, name: str
) -> None:
    path = _written(tmp_path, {"number": range(COUNT), name: column, "text": ["t"] * COUNT})
    source = _source(path)
    assert source.carried().names == ["number", "text"]
    assert np.array_equal(_decoded(source), PIXELS)
    rows = read_rows(source)
    assert [row["id"] for row in rows] == [f"a.parquet#{number}" for number in range(COUNT)]
    assert [row["number"] for row in rows] == list(range(COUNT))


@pytest.mark.parametrize(
    ("channels", "dtype", "depth"), [(1, "uint8", 0), (4, "uint8", 0), (3, "uint16", 2)]
)
def test_images_of_spark_of_every_type_that_is_exact(
    tmp_path: Path, channels: int, dtype: str, depth: int
) -> None:
    pixels = _pixels(channels, dtype)
    path = _written(tmp_path, {"image": _spark(pixels, depth)})
    assert np.array_equal(_decoded(_source(path), channels, pixels.itemsize * 8), pixels)


def test_images_of_spark_of_several_sizes_and_damaged_ones(tmp_path: Path) -> None:
    rows = _spark(PIXELS, 0).to_pylist()
    rows[1] |= {"height": 7, "width": 5}
    rows[2] |= {"height": -1, "width": -1, "nChannels": -1, "mode": -1, "data": b""}
    rows[3] |= {"height": 2**31 - 1}
    rows[4] |= {"mode": 21}
    path = _written(tmp_path, {"image": pa.array([*rows, None], SPARK)})
    found = read_rows(path)
    reasons = [row["reject"] and row["reject"]["reason"] for row in found]
    expected = [None, None, "no_image", "wrong_shape", "wrong_bits", None, None]
    assert reasons == expected
    assert [row["image"] is None for row in found] == [False, False, True, True, True, False, True]
    assert found[1]["image"] == PIXELS[1].tobytes()


def test_tensors_of_16_bits_and_too_large_ones(tmp_path: Path) -> None:
    pixels = _pixels(3, "uint16")
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(pixels)
    path = _written(tmp_path, {"image": column})
    assert [row["image"] for row in read_rows(path)] == [image.tobytes() for image in pixels]
    rows = read_rows(path, limits=BatchLimits(record_bytes=200))
    assert {row["reject"]["reason"] for row in rows} == {"too_large"}


@pytest.mark.parametrize("struct", [True, False])
def test_paths_are_read_within_the_input(tmp_path: Path, struct: bool) -> None:
    folder = tmp_path / "in"
    (folder / "files").mkdir(parents=True)
    for number, png in enumerate(PNGS):
        (folder / "files" / f"{number}.png").write_bytes(png)
    (folder / "files" / "empty.png").touch()
    os.mkfifo(folder / "files" / "pipe.png")
    secret = tmp_path / "secret.png"
    secret.write_bytes(PNGS[0])
    (folder / "link.png").symlink_to(secret)
    (folder / "linked").symlink_to(tmp_path)
    (folder / "within.png").symlink_to("files/2.png")
    good = ["files/0.png", f"{folder}/files/1.png", "within.png", f"file://{folder}/files/3.png"]
    bad = [
        *("../secret.png", str(secret), f"file:{secret}", "link.png", "linked/secret.png"),
        *("files/missing.png", "files/empty.png", "files", "files/pipe.png", "https://a/b.png"),
        *("", "a\0b", "x" * 5000, "file://[", "files/../../secret.png"),
    ]
    texts = [*good, *bad]
    column = (
        pa.array(texts)
        if not struct
        else pa.array([{"bytes": None, "path": text} for text in texts], STRUCT)
    )
    rows = read_rows(_written(folder, {"image": column}))
    assert [row["image"] for row in rows[:4]] == PNGS[:4]
    assert [row["reject"] and row["reject"]["reason"] for row in rows[:4]] == [None] * 4
    assert all(row["image"] is None and row["reject"]["stage"] == "read" for row in rows[4:])
    followed = read_rows(_source(folder / "a.parquet", follow_links=True))
    assert [row["image"] is not None for row in followed[4:9]] == [False] * 3 + [True] * 2


def test_files_that_paths_name_are_watched_and_bounded(tmp_path: Path) -> None:
    for number, png in enumerate(PNGS):
        (tmp_path / f"{number}.png").write_bytes(png)
    path = _written(tmp_path, {"image": [f"{number}.png" for number in range(COUNT)] + ["../x"]})
    source = _source(path)
    watched = [found for task in source.tasks() for found in source.paths(task)]
    assert watched[0] == str(path)
    assert {*watched} == {str(path), *(str(tmp_path / f"{n}.png") for n in range(COUNT))}
    size = len(PNGS[0])
    lengths = [
        len(batch)
        for task in source.tasks()
        for batch in source.read(task, BatchLimits(image_bytes=2 * size))
    ]
    assert max(lengths) <= 3
    rows = read_rows(source, limits=BatchLimits(record_bytes=10))
    assert {row["reject"]["reason"] for row in rows[:-1]} == {"too_large"}


def test_further_images_of_a_record_are_counted(tmp_path: Path) -> None:
    lists = [ROWS[:3], [], None, ROWS[:1], ROWS[:2], [None, ROWS[0]]]
    source = _source(_written(tmp_path, {"image": pa.array(lists, pa.list_(STRUCT))}))
    told = PassedOver()
    batches = [b for task in source.tasks() for b in source.read(task, BatchLimits(), True, told)]
    images = [image for batch in batches for image in batch.column("image").to_pylist()]
    assert images == [PNGS[0], None, None, PNGS[0], PNGS[0], None]
    assert told.by_cause() == {"further_image": 4}
    assert told.names(Cause.FURTHER_IMAGE)[0] == f"{tmp_path}/a.parquet#image"


def test_columns_of_later_files_are_named(tmp_path: Path) -> None:
    for name, columns in {"a": ["x"], "b": ["x", "y"], "c": ["y", "z"]}.items():
        table = {"image": PNGS[:1], **{column: [1] for column in columns}}
        pq.write_table(pa.table(table), tmp_path / f"{name}.parquet")
    told = PassedOver()
    (source,) = resolve_inputs([str(tmp_path)])
    for listing in source.listings():
        if listing.passed_over is not None:
            told.update(listing.passed_over)
    assert told.names(Cause.LATE_COLUMN) == [
        f"{tmp_path}/{name}" for name in ("b.parquet#y", "c.parquet#y", "c.parquet#z")
    ]


def test_columns_can_be_named(tmp_path: Path) -> None:
    columns = {
        "left": PNGS,
        "right": PNGS[::-1],
        "id": ["x"] * COUNT,
        "name": ["a", "b", None, "d", "e", "f"],
        "label": range(COUNT),
        "kind": list("uvwxyz"),
    }
    path = _written(tmp_path, columns)
    with pytest.raises(InputError, match=r"left, right.*--image_column"):
        read_rows(path)
    source = _source(path, image_column="right", id_column="name", label_column="kind")
    rows = read_rows(source)
    assert [row["id"] for row in rows] == ["a", "b", "a.parquet#2", "d", "e", "f"]
    assert [row["label"] for row in rows] == list("uvwxyz")
    assert [row["input_label"] for row in rows] == list(range(COUNT))
    assert [row["input_id"] for row in rows] == ["x"] * COUNT
    assert [row["left"] for row in rows] == PNGS
    assert [row["reject"] and row["reject"]["reason"] for row in rows] == [
        None,
        None,
        "no_id",
        None,
        None,
        None,
    ]
    assert [row["image"] for row in rows] == [
        None if n == 2 else PNGS[-1 - n] for n in range(COUNT)
    ]
    for name in ("image_column", "id_column", "label_column"):
        with pytest.raises(InputError, match=r"no column 'knd'; did you mean 'kind'\?"):
            read_rows(_source(path, **{"image_column": "right", name: "knd"}))
    with pytest.raises(InputError, match=r"'label' must be .*Received: int64"):
        read_rows(_source(path, image_column="label"))


def test_a_column_of_paths_may_be_the_ids_too(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNGS[0])
    path = _written(tmp_path, {"file": ["a.png"], "label": [1]})
    (row,) = read_rows(_source(path, image_column="file", id_column="file"))
    assert (row["id"], row["image"], row["label"]) == ("a.png", PNGS[0], 1)


def test_folders_of_parquet_have_partition_columns_as_pyarrow_has_them(tmp_path: Path) -> None:
    folders = [
        "label=good/year=2020",
        "label=b%20ad/year=-3",
        "label=__HIVE_DEFAULT_PARTITION__/year=7",
    ]
    for number, folder in enumerate(folders):
        _written(
            tmp_path, {"image": PNGS[:2], "n": [number, number + 10]}, f"{folder}/part-0.parquet"
        )
    (tmp_path / "README.md").write_text("x")
    _written(tmp_path, {"image": PNGS}, "_notes/part-0.parquet")
    (tmp_path / "_SUCCESS").touch()
    source = _source(tmp_path)
    expected = (
        ds.dataset(tmp_path, partitioning="hive", exclude_invalid_files=True)
        .to_table()
        .sort_by("n")
    )
    found = pa.Table.from_pylist(read_rows(source)).sort_by("n")
    for name in ("n", "label", "year"):
        assert source.carried().field(name).type == expected.schema.field(name).type
        assert found[name].to_pylist() == expected[name].to_pylist()
    assert found["id"].to_pylist()[0] == "label=good/year=2020/part-0.parquet#0"
    assert passed_over_by(source) == {"other_kind": 3}
    renamed = read_rows(_source(tmp_path, label_column="year"))
    assert {row["label"] for row in renamed} == {2020, -3, 7}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"no 'image' column.*\(available: a: int64, b: string\); .* --image_column"),
        ({"image_column": "a"}, "'a' must be binary.*Received: int64"),
    ],
)
def test_a_refusal_says_what_there_is(
    tmp_path: Path, options: dict[str, str], message: str
) -> None:
    path = _written(tmp_path, {"a": [1], "b": ["x"]})
    with pytest.raises(InputError, match=message):
        read_rows(_source(path, **options))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([["a"]] * COUNT, pa.list_(pa.dictionary(pa.int8(), pa.string()))),
        pa.array([b"x"] * COUNT, pa.large_binary()),
        pa.array(["x"] * COUNT, pa.string_view()),
        pa.array([[1, 2]] * COUNT, pa.list_(pa.uint8())),
        pa.array([[[1.5]]] * COUNT),
        pa.array([[("k", 1)]] * COUNT, pa.map_(pa.string(), pa.int32())),
        pa.array([5] * COUNT, pa.timestamp("ns", "Europe/Berlin")),
        pa.array([5] * COUNT, pa.duration("s")),
        pa.array([1] * COUNT, pa.decimal128(5, 2)),
        pa.array([{"a": [1]}] * COUNT),
    ],
    ids=lambda column: str(column.type)[:40],
)
def test_other_columns_are_carried_whatever_their_type(tmp_path: Path, column: pa.Array) -> None:
    path = _written(tmp_path, {"image": PNGS, "other": column})
    rows = read_rows(path)
    assert [row["other"] for row in rows] == pq.read_table(path)["other"].to_pylist()
    out = tmp_path / "out.parquet"
    pq.write_table(pa.Table.from_pylist(rows, common_carried([_source(path)])), out)
    assert pq.read_table(out)["other"].to_pylist() == [row["other"] for row in rows]


def test_raw_pixels_in_a_column_that_is_named(tmp_path: Path) -> None:
    metadata = {"shape": json.dumps([5, 7, 3]), "dtype": "uint8"}
    field = pa.field("pixels", pa.binary(), metadata=metadata)
    raw = pa.array([image.tobytes() for image in PIXELS], pa.binary())
    table = pa.table([raw, pa.array(PNGS)], pa.schema([field, pa.field("thumbnail", pa.binary())]))
    pq.write_table(table, tmp_path / "a.parquet")
    source = _source(tmp_path / "a.parquet", image_column="pixels")
    (batch, *_) = (b for task in source.tasks() for b in source.read(task, BatchLimits()))
    assert raw_layout(batch.schema.field("image").metadata) == ((5, 7, 3), np.dtype("uint8"))
    assert np.array_equal(_decoded(source), PIXELS)
