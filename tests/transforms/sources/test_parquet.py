"""Parquet files, written by PyArrow and by DuckDB, as image records."""

import io
import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ae_models.errors import InputError
from tests.support.reading import read_batches, read_rows
from transforms import ReadImages
from transforms.reading.read import common_carried
from transforms.records.batches import BatchLimits
from transforms.records.pixels import raw_layout
from transforms.sources import resolve_inputs

COLUMNS_OF_SCORES = ["source", "reject", "score", "score_x", "p_value", "model", "latent_mean"]


def _png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (4, 4), level).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "set.parquet"


def _write(path: Path, columns: dict[str, Any], **options: Any) -> None:
    columns = {"image": pa.array([_png(n) for n in range(6)], pa.binary()), **columns}
    pq.write_table(pa.table(columns), path, **options)


def test_encoded_images_of_several_row_groups(path: Path) -> None:
    names = [f"r{n}" for n in range(6)]
    _write(path, {"id": names, "label": ["a", "b"] * 3, "weight": [0.5] * 6}, row_group_size=4)
    rows = read_rows(path, limits=BatchLimits(rows=3))
    assert [len(batch) for batch in read_batches(path, limits=BatchLimits(rows=3))] == [3, 1, 2]
    assert [row["id"] for row in rows] == names
    assert [row["label"] for row in rows] == ["a", "b"] * 3
    assert [row["weight"] for row in rows] == [0.5] * 6
    assert [row["image"] for row in rows] == [_png(n) for n in range(6)]
    assert {row["source"] for row in rows} == {str(path)}


def test_rows_without_an_id_are_numbered_through_the_file(path: Path) -> None:
    _write(path, {}, row_group_size=4)
    assert [row["id"] for row in read_rows(path)] == [f"set.parquet#{n}" for n in range(6)]
    _write(path, {"id": pa.array([None, 7, None, 8, None, 9])}, row_group_size=4)
    expected = ["set.parquet#0", "7", "set.parquet#2", "8", "set.parquet#4", "9"]
    assert [row["id"] for row in read_rows(path)] == expected


def test_duckdb_writes_what_we_read(path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT 'd' || i AS id, ?::BLOB AS image, i % 2 AS label, i > 2 AS late "
            f"FROM range(5) t(i)) TO '{path}' (FORMAT parquet)",
            [_png(3)],
        )
    rows = read_rows(path)
    assert [(row["id"], row["label"], row["late"]) for row in rows] == [
        (f"d{i}", i % 2, i > 2) for i in range(5)
    ]
    assert {row["image"] for row in rows} == {_png(3)}


@pytest.mark.parametrize("on", ["field", "schema"])
@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(24)])
def test_raw_images_with_their_shape_in_the_metadata(path: Path, on: str, kind: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (5, 2, 3, 2), np.uint16)
    layout = {"shape": json.dumps([2, 3, 2]), "dtype": "uint16"}
    field = pa.field("image", kind, metadata=layout if on == "field" else None)
    schema = pa.schema([field], metadata=layout if on == "schema" else None)
    images = pa.array([row.tobytes() for row in pixels], kind)
    pq.write_table(pa.table([images], schema=schema), path)
    batches = read_batches(path, limits=BatchLimits())
    assert raw_layout(batches[0].schema.field("image").metadata) == ((2, 3, 2), np.dtype("uint16"))
    assert b"".join(row["image"] for row in read_rows(path)) == pixels.tobytes()


def test_hugging_face_structs_of_bytes_and_path(path: Path) -> None:
    images = [{"bytes": _png(n), "path": f"{n}.png"} for n in range(3)]
    _write(path, {"image": [*images, {"bytes": None, "path": "4.png"}, None], "label": range(5)})
    rows = read_rows(path)
    assert [row["image"] for row in rows] == [_png(0), _png(1), _png(2), None, None]
    assert [row["label"] for row in rows] == list(range(5))


@pytest.mark.parametrize("name", COLUMNS_OF_SCORES)
def test_columns_named_as_ours_get_a_prefix(path: Path, name: str) -> None:
    _write(path, {name: range(6)})
    assert [row[f"input_{name}"] for row in read_rows(path)] == list(range(6))


def test_a_prefixed_name_that_is_taken_hides_no_column(path: Path) -> None:
    _write(path, {"source": ["a"] * 6, "input_source": ["b"] * 6})
    try:
        rows = read_rows(path)
    except InputError as error:
        assert "input_source" in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert {"a", "b"} <= set(rows[0].values())


def test_dictionaries_become_their_values(path: Path) -> None:
    label = pa.array(["a", "b"] * 3).dictionary_encode()
    _write(path, {"id": pa.array(list("uvwxyz")).dictionary_encode(), "label": label})
    assert [(row["id"], row["label"]) for row in read_rows(path)] == list(
        zip("uvwxyz", "ababab", strict=True)
    )
    assert common_carried(resolve_inputs([str(path)])).field("label").type == pa.string()


@pytest.mark.parametrize("alike", [False, True])
def test_limit_of_bytes_bounds_each_batch(path: Path, alike: bool) -> None:
    """Identical images take almost no space in the file, but their full size in memory."""
    size = 10_000
    random = np.random.default_rng(0)
    images = [random.bytes(size) if not alike else bytes(size) for _ in range(60)]
    _write(path, {"image": images})
    batches = read_batches(path, limits=BatchLimits(image_bytes=5 * size))
    assert sum(len(batch) for batch in batches) == 60
    assert max(batch.column("image").nbytes for batch in batches) <= 6 * size


def test_files_that_lack_a_column_or_add_one_still_fit(tmp_path: Path) -> None:
    _write(tmp_path / "a.parquet", {"label": pa.array(range(6), pa.int64()), "fold": range(6)})
    _write(tmp_path / "b.parquet", {"label": pa.array(range(6), pa.int32()), "more": range(6)})
    rows = read_rows(tmp_path / "*.parquet")
    assert [row["label"] for row in rows] == [*range(6), *range(6)]
    assert [row["fold"] for row in rows] == [*range(6), *[None] * 6]
    assert all(row["reject"] is None for row in rows)


def test_a_file_whose_column_is_of_another_type_is_rejected_row_by_row(tmp_path: Path) -> None:
    _write(tmp_path / "a.parquet", {"label": range(6)})
    _write(tmp_path / "b.parquet", {"label": list("uvwxyz")})
    rows = read_rows(tmp_path / "*.parquet")
    reasons = [row["reject"] and row["reject"]["reason"] for row in rows]
    assert reasons == [None] * 6 + ["schema_mismatch"] * 6
    assert [row["id"] for row in rows[6:]] == [f"b.parquet#{n}" for n in range(6)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"name": ["x"], "label": [1]}, "no 'image' column.*name: string, label: int64"),
        ({"image": [[1, 2]]}, "binary or struct.*list"),
        ({"image": [{"path": "a.png"}]}, "binary or struct"),
    ],
)
def test_first_file_without_images_is_an_error(
    path: Path, columns: dict[str, Any], message: str
) -> None:
    pq.write_table(pa.table(columns), path)
    with pytest.raises(InputError, match=message):
        read_rows(path)


@pytest.mark.parametrize(
    ("shape", "dtype"), [("[2, 3", "uint8"), ("[2]", "uint8"), ("[2, 3, 1]", "float32")]
)
def test_raw_layouts_that_are_none_are_errors(path: Path, shape: str, dtype: str) -> None:
    field = pa.field("image", pa.binary(), metadata={"shape": shape, "dtype": dtype})
    pq.write_table(pa.table([[b"abcdef"]], schema=pa.schema([field])), path)
    with pytest.raises(InputError):
        read_rows(path)


@pytest.mark.parametrize("content", [b"", b"PAR1 no more", None])
def test_damaged_files_are_errors_first_and_rejects_later(
    tmp_path: Path, content: bytes | None
) -> None:
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    _write(first, {})
    second.write_bytes(first.read_bytes()[:-20] if content is None else content)
    with pytest.raises(InputError, match=r"b\.parquet"):
        read_rows(second)
    rows = read_rows(tmp_path / "*.parquet")
    assert [row["id"] for row in rows] == [*(f"a.parquet#{n}" for n in range(6)), "b.parquet"]
    assert rows[-1]["reject"]["reason"] == "unreadable"


def test_later_file_without_images_is_one_reject(tmp_path: Path) -> None:
    _write(tmp_path / "a.parquet", {})
    pq.write_table(pa.table({"label": [1, 2]}), tmp_path / "b.parquet", row_group_size=1)
    rows = read_rows(tmp_path / "*.parquet")
    assert [row["reject"]["reason"] for row in rows[6:]] == ["no_image"] * len(rows[6:])
    assert len({row["id"] for row in rows}) == len(rows)


@pytest.mark.parametrize("with_id", [True, False])
def test_damaged_pages_of_images_lose_no_record(path: Path, with_id: bool) -> None:
    random = np.random.default_rng(0)
    images = [random.bytes(600) for _ in range(40)]  # too short for a separate page
    columns = {"id": [f"r{n}" for n in range(40)]} if with_id else {}
    _write(path, {"image": images, **columns}, row_group_size=20, use_dictionary=False)
    data = bytearray(path.read_bytes())
    place = data.index(images[30][:64])  # in the second row group, after the image's length
    data[place - 4 : place] = b"\xff" * 4
    path.write_bytes(data)
    rows = read_rows(path, limits=BatchLimits(rows=5))
    expected = [f"r{n}" if with_id else f"set.parquet#{n}" for n in range(40)]
    assert [row["id"] for row in rows] == expected
    assert all(row["reject"] is None for row in rows[:20])
    good = [row["image"] == image for row, image in zip(rows, images, strict=True)]
    bad = [row["reject"] is not None for row in rows]
    assert any(bad[20:])
    assert all(a != b for a, b in zip(good, bad, strict=True))


def test_input_without_a_row_is_an_error(path: Path) -> None:
    with pq.ParquetWriter(path, pa.schema([("image", pa.binary())])):
        pass
    with pytest.raises(InputError):
        ReadImages(str(path)).expand(None)  # type: ignore[arg-type] - it fails before it is used


def test_a_column_of_the_first_file_without_a_value_refuses_no_other_file(tmp_path: Path) -> None:
    _write(tmp_path / "a.parquet", {"label": pa.nulls(6)})
    _write(tmp_path / "b.parquet", {"label": range(6)})
    rows = read_rows(tmp_path / "*.parquet")
    assert [row["label"] for row in rows] == [None] * 6 + list("012345")
    assert all(row["reject"] is None for row in rows)


@pytest.mark.parametrize("rows_a_batch", [1, 2, 512])
def test_a_value_that_does_not_fit_rejects_its_own_row(tmp_path: Path, rows_a_batch: int) -> None:
    _write(tmp_path / "a.parquet", {"label": range(6)})
    _write(tmp_path / "b.parquet", {"label": [0.0, 1.5, 2.0, 3.0, 4.5, 5.0]})
    rows = read_rows(tmp_path / "*.parquet", limits=BatchLimits(rows=rows_a_batch))
    assert [row["label"] for row in rows[6:]] == [0, None, 2, 3, None, 5]
    reasons = [row["reject"] and row["reject"]["reason"] for row in rows[6:]]
    assert reasons == [None, "schema_mismatch", None, None, "schema_mismatch", None]


def test_ids_that_are_no_utf8_are_written_out(path: Path) -> None:
    _write(path, {"id": pa.array([b"a", b"\xff", b"c", b"d", b"e", b"f"], pa.binary())})
    assert [row["id"] for row in read_rows(path)] == ["a", "\\xff", "c", "d", "e", "f"]


def test_a_bad_first_file_and_foreign_files_of_a_folder_stop_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "set.parquet"
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    (folder / "a.parquet").touch()
    _write(folder / "b.parquet", {"label": range(6)})
    rows = read_rows(folder)
    assert [row["label"] for row in rows] == [None, *range(6)]
    assert rows[0]["reject"]["reason"] == "unreadable"


@pytest.mark.parametrize("checksums", [True, False])
def test_pages_are_checked_where_they_have_checksums(path: Path, checksums: bool) -> None:
    """A changed pixel does not violate the format: nothing else would detect it."""
    random = np.random.default_rng(0)
    images = [random.bytes(600) for _ in range(60)]
    options = {"use_dictionary": False, "compression": "none", "write_page_checksum": checksums}
    _write(path, {"image": images}, row_group_size=20, **options)
    data = bytearray(path.read_bytes())
    data[data.index(images[30][:64]) + 100] ^= 1
    path.write_bytes(data)
    rows = read_rows(path)
    assert [row["id"] for row in rows] == [f"set.parquet#{n}" for n in range(60)]
    bad = [n for n, row in enumerate(rows) if row["reject"]]
    assert bad == (list(range(20, 40)) if checksums else [])
    assert [rows[n]["image"] for n in [*range(20), *range(40, 60)]] == images[:20] + images[40:]


def test_a_row_group_whose_pages_are_gone_costs_no_other(path: Path) -> None:
    random = np.random.default_rng(0)
    images = [random.bytes(600) for _ in range(60)]
    _write(path, {"image": images}, row_group_size=20, use_dictionary=False)
    data = bytearray(path.read_bytes())
    place = data.index(images[20])
    data[place - 100 : place + 9000] = bytes(9100)
    path.write_bytes(data)
    rows = read_rows(path)
    assert [row["id"] for row in rows] == [f"set.parquet#{n}" for n in range(60)]
    assert [n for n, row in enumerate(rows) if row["reject"]] == list(range(20, 40))


@pytest.mark.parametrize("rows", [None, 0, 4, 5, 6, 7, 12])
@pytest.mark.parametrize("group_rows", [2, 3])
def test_a_file_that_changes_after_it_was_listed_is_a_reject(
    path: Path, rows: int | None, group_rows: int
) -> None:
    _write(path, {"fold": range(6)}, row_group_size=3)
    (source,) = resolve_inputs([str(path)])
    tasks = list(source.tasks())
    path.unlink()
    if rows is not None:
        images = pa.array([_png(n) for n in range(rows)], pa.binary())
        pq.write_table(pa.table({"image": images}), path, row_group_size=group_rows)
    read = [
        row for task in tasks for b in source.read(task, BatchLimits()) for row in b.to_pylist()
    ]
    if (rows, group_rows) == (6, 3):
        assert [row["id"] for row in read] == [f"set.parquet#{n}" for n in range(6)]
        return
    assert [row["id"] for row in read] == [f"set.parquet#row_group={n}" for n in range(2)]
    assert {row["reject"]["reason"] for row in read} == {"unreadable"}
    told = "changed while it was read" if rows is not None else "No such file"
    assert all(told in row["reject"]["message"] for row in read)
