"""Pictures of maps in a run's staging folder: they are named by their rows, written once, and found
through these rows."""

import hashlib
import string
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ae_models.errors import InputError, OutputError
from transforms.runs import pictures as module
from transforms.runs.ledger import MAPS, PICTURES, SCORES
from transforms.runs.pictures import (
    Picture,
    has_pictures,
    picture_moves,
    picture_names,
    pictures_named,
    write_pictures,
)
from transforms.runs.shards import Shard

SAFE = set(string.ascii_letters + string.digits + "._-")
MAP, OVERLAY = b"a map", b"an overlay"
ODD_IDS = [
    *(
        "",
        "/",
        ".",
        "..",
        "../..",
        ".hidden",
        "-rf",
        "--",
        "a/../b",
        "/etc/passwd",
        "C:\\x",
        "a\0b",
    ),
    *("x" * 10_000, "ü" * 10_000, "/" * 10_000, "." * 10_000, "a.map.png", "日本/語.png", "\u202e"),
    *("%s", "*?[a]", "a\nb", " ", "~", "$(x)", "e\u0301", "\U0001f600"),
]
IDS = st.one_of(
    st.text(max_size=300),
    st.text("./\\-_ aA:\0", max_size=120),
    st.sampled_from(ODD_IDS),
)
# What Windows treats as a device, whatever follows the first dot.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{n}{d}" for n in ("com", "lpt") for d in range(10))}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# Names.


@given(IDS)
@example("x" * 10_000)
@example("ü" * 10_000)
def test_names_are_safe_whatever_the_id_is(record: str) -> None:
    own, overlay = picture_names(record, (MAP, OVERLAY))
    assert own.endswith(".map.png")
    assert overlay.endswith(".overlay.png")
    for name in (own, overlay):
        assert set(name) <= SAFE
        assert len(name.encode()) <= 255
        assert not name.startswith(".")
        assert name == Path(name).name
    assert picture_names(record, (MAP, OVERLAY)) == [own, overlay]


@pytest.mark.parametrize("record", ["", "...", "-", ".-.-"])
def test_no_name_is_taken_for_an_option(record: str) -> None:
    for name in picture_names(record, (MAP, OVERLAY)):
        assert not name.startswith("-")


@pytest.mark.parametrize("record", ["nul.png", "con.jpg", "AUX.tar.png", "com1.png"])
def test_no_name_is_a_device_of_windows(record: str) -> None:
    for name in picture_names(record, (MAP, OVERLAY)):
        assert name.partition(".")[0].lower() not in _DEVICES


@given(IDS, IDS)
@example("a/b", "a_b")
@example("a b", "a/b")
@example("ü", "ö")
@example("A.png", "a.png")
@example(".a", "a")
@example("", ".")
@example("x" * 10_000, "x" * 10_001)
def test_other_ids_have_other_names(one: str, other: str) -> None:
    """Also on a case-insensitive file system."""
    names = [
        name.lower() for record in (one, other) for name in picture_names(record, (MAP, OVERLAY))
    ]
    assert len(set(names)) == (4 if one != other else 2)


@given(IDS, st.tuples(st.binary(), st.binary()), st.tuples(st.binary(), st.binary()))
@example("a", (b"x", b"y"), (b"y", b"x"))
@example("a", (b"xy", b""), (b"x", b"y"))
@example("a", (b"", b""), (b"", b"x"))
def test_other_pictures_have_other_names(
    record: str, one: tuple[bytes, bytes], other: tuple[bytes, bytes]
) -> None:
    names = {*picture_names(record, one), *picture_names(record, other)}
    assert len(names) == (2 if one == other else 4)


def test_names_say_what_record_they_are_of() -> None:
    digest = hashlib.sha256(
        b"good/1.png" + b"".join(hashlib.sha256(c).digest() for c in (MAP, OVERLAY))
    )
    stem = f"good_1_png-{digest.hexdigest()[:16]}"
    found = picture_names("good/1.png", (MAP, OVERLAY))
    assert found == [f"{stem}.map.png", f"{stem}.overlay.png"]
    assert picture_names("a" * 5000 + "/the end.png", (MAP, OVERLAY))[0].startswith("a" * 80)
    assert "the_end_png" in picture_names("a" * 5000 + "/the end.png", (MAP, OVERLAY))[0]


# Files.


def _rows(ids: Sequence[str], **carried: list[object]) -> pa.RecordBatch:
    count = len(ids)
    return pa.RecordBatch.from_pydict(
        {
            "id": pa.array(ids, pa.string()),
            "source": ["s"] * count,
            **carried,
            "map_width": pa.array(range(count), pa.int32()),
            "value_per_level": pa.array([0.5] * count, pa.float32()),
            "map_file": pa.array([f"map {own}".encode() for own in ids], pa.binary()),
            "overlay_file": pa.array([f"overlay {own}".encode() for own in ids], pa.binary()),
            "model": pa.array(["f"] * count).dictionary_encode(),
        }
    )


def _shard(rows: pa.RecordBatch, folder: Path) -> Shard:
    path = folder / "maps-1.parquet"
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_batches([rows]), path, row_group_size=4)
    return Shard(MAPS, str(path), len(rows), rows.column("id")[0].as_py(), {})


def _found(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / PICTURES).iterdir()}


def _pictures(shard: Shard) -> list[Picture]:
    return [picture for some in pictures_named(shard.path) for picture in some]


def test_rows_name_the_files_that_were_written(tmp_path: Path) -> None:
    ids = [f"folder/{number}.png" for number in range(10)]
    rows = _rows(ids, label=list("abcdefghij"))
    written = write_pictures(rows, str(tmp_path))
    assert written.schema.names == [*rows.schema.names, "map_sha256", "overlay_sha256"]
    for name in ("id", "source", "label", "map_width", "value_per_level", "model"):
        assert written.column(name).equals(rows.column(name))
    files = _found(tmp_path)
    assert len(files) == 2 * len(ids)
    for row in written.to_pylist():
        for kind in ("map", "overlay"):
            folder, _, name = row[f"{kind}_file"].rpartition("/")
            assert folder == PICTURES
            assert files[name] == f"{kind} {row['id']}".encode()
            assert row[f"{kind}_sha256"] == _sha256(files[name])
        names = picture_names(
            row["id"], (f"map {row['id']}".encode(), f"overlay {row['id']}".encode())
        )
        assert [row["map_file"], row["overlay_file"]] == [f"{PICTURES}/{name}" for name in names]


@pytest.mark.parametrize("rows_at_once", [1, 3, 4096])
def test_a_shard_says_what_pictures_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(module, "_ROWS", rows_at_once)
    written = write_pictures(_rows([f"r{number}" for number in range(10)]), str(tmp_path))
    shard = _shard(written, tmp_path)
    expected = {
        Picture(row[f"{kind}_file"], row[f"{kind}_sha256"])
        for row in written.to_pylist()
        for kind in ("map", "overlay")
    }
    found = _pictures(shard)
    assert len(found) == len(set(found)) == 20
    assert set(found) == expected
    elsewhere = tmp_path / "elsewhere.parquet"
    Path(shard.path).rename(elsewhere)
    moves = [move for some in picture_moves(shard, str(elsewhere)) for move in some]
    assert sorted(moves) == sorted((f"{tmp_path}/{own.path}", own.path) for own in expected)
    other = Shard(SCORES, str(elsewhere), 10, "r0", {})
    assert list(picture_moves(other, str(elsewhere))) == []


def test_rows_of_slices_and_none_at_all(tmp_path: Path) -> None:
    rows = _rows(["a", "b", "c", "d"])
    whole = write_pictures(rows, str(tmp_path / "whole"))
    part = write_pictures(rows.slice(1, 2), str(tmp_path / "part"))
    assert part.to_pylist() == whole.slice(1, 2).to_pylist()
    assert len(_found(tmp_path / "part")) == 4
    none = write_pictures(rows.slice(0, 0), str(tmp_path / "none"))
    assert none.schema.equals(whole.schema)
    assert len(none) == 0


def test_maps_that_are_numbers_name_none(tmp_path: Path) -> None:
    rows = _rows(["a"]).drop_columns(["map_file", "overlay_file"])
    shard = _shard(rows, tmp_path)
    assert _pictures(shard) == []
    assert has_pictures(shard)
    carried = _rows(["a"], map_file_=[1]).drop_columns(["overlay_file"])
    assert _pictures(_shard(carried, tmp_path)) == []


def test_a_shard_that_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    shard = _shard(write_pictures(_rows(["a"]), str(tmp_path)), tmp_path)
    Path(shard.path).write_bytes(b"PAR1 no more")
    with pytest.raises(InputError, match="cannot read"):
        _pictures(shard)
    with pytest.raises(InputError, match="cannot read"):
        has_pictures(shard)


def test_every_picture_has_to_be_there(tmp_path: Path) -> None:
    shard = _shard(write_pictures(_rows(["a", "b", "c"]), str(tmp_path)), tmp_path)
    assert has_pictures(shard)
    for path in sorted((tmp_path / PICTURES).iterdir()):
        content = path.read_bytes()
        path.unlink()
        assert not has_pictures(shard), path
        path.write_bytes(content)
    assert has_pictures(shard)


def test_what_is_written_again_is_the_same(tmp_path: Path) -> None:
    """Also if an earlier file with the same name is truncated."""
    rows = _rows(["a", "b"])
    first = write_pictures(rows, str(tmp_path))
    before = _found(tmp_path)
    spoiled = tmp_path / first.column("map_file")[1].as_py()
    spoiled.write_bytes(b"")
    assert write_pictures(rows, str(tmp_path)).equals(first)
    assert _found(tmp_path) == before


def test_records_of_one_id_lose_nothing(tmp_path: Path) -> None:
    """For example, of two inputs: records with equal content share files, others do not."""
    rows = _rows(["a", "a", "a"])
    index = rows.schema.get_field_index("overlay_file")
    overlays = pa.array([b"one", b"one", b"other"], pa.binary())
    rows = rows.set_column(index, "overlay_file", overlays)
    written = write_pictures(rows, str(tmp_path)).to_pylist()
    assert written[0]["map_file"] == written[1]["map_file"] != written[2]["map_file"]
    files = _found(tmp_path)
    assert len(files) == 4
    for row, overlay in zip(written, (b"one", b"one", b"other"), strict=True):
        assert files[Path(row["overlay_file"]).name] == overlay
        assert files[Path(row["map_file"]).name] == b"map a"


def test_several_writers_at_once_leave_each_file_once(tmp_path: Path) -> None:
    """A concurrent reader sees a complete file, or none."""
    rows, writers = _rows([f"r{number}" for number in range(6)]), 8
    large = pa.array([bytes([number]) * 300_000 for number in range(6)], pa.binary())
    rows = rows.set_column(rows.schema.get_field_index("map_file"), "map_file", large)
    expected = {
        name: content
        for row in rows.to_pylist()
        for name, content in zip(
            picture_names(row["id"], (row["map_file"], row["overlay_file"])),
            (row["map_file"], row["overlay_file"]),
            strict=True,
        )
    }
    start, done = threading.Barrier(writers + 1), threading.Event()

    def write(_: int) -> pa.RecordBatch:
        start.wait()
        return write_pictures(rows, str(tmp_path))

    def look() -> int:
        start.wait()
        seen = 0
        while not done.is_set():
            for name, content in expected.items():
                path = tmp_path / PICTURES / name
                if path.exists():
                    assert path.read_bytes() == content
                    seen += 1
        return seen

    with ThreadPoolExecutor(writers + 1) as pool:
        looking = pool.submit(look)
        written = list(pool.map(write, range(writers)))
        done.set()
        assert looking.result() > 0
    assert all(one.equals(written[0]) for one in written)
    assert _found(tmp_path) == expected


def test_what_cannot_be_written_is_an_output_error_and_leaves_no_part(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError):
        write_pictures(_rows(["a"]), str(tmp_path / "file"))
    name = picture_names("a", (b"map a", b"overlay a"))[0]
    (tmp_path / PICTURES / name).mkdir(parents=True)  # a folder instead of a picture
    (tmp_path / PICTURES / name / "x").touch()
    with pytest.raises(OutputError):
        write_pictures(_rows(["a"]), str(tmp_path))
    assert [path.name for path in (tmp_path / PICTURES).iterdir()] == [name]
