"""Runs with pictures, re-read by `verify`, and by `relabel`, which rewrites them."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ae_models.errors import InputError, LatentbeamError
from pipelines.commands.relabel import relabel
from pipelines.commands.verify import verify
from tests.support.command import run_command
from tests.support.map_pictures import drawn, picture_bytes, rows_of
from transforms.runs.ledger import read_ledger

Runs = Callable[..., Path]
PNG = {"maps": "all", "map_format": "png"}


@pytest.fixture
def run(finished: Runs, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(finished(**PNG), tmp_path / "run"))


def _one_of(run: Path, kind: str, number: int = 0) -> Path:
    return sorted((run / "map_pictures").glob(f"*.{kind}.png"))[number]


# Verifying.


def _change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _swap(path: Path) -> None:
    """A picture of the run, undamaged, but of another record."""
    path.write_bytes(_one_of(path.parents[1], path.name.split(".")[-2], -1).read_bytes())


def _into_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


_DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "changed": (_change, "{path} was changed since the run was written"),
    "cut": (_cut, "{path} was changed since the run was written"),
    "empty": (lambda path: path.write_bytes(b""), "{path} was changed since the run was written"),
    "swapped": (_swap, "{path} was changed since the run was written"),
    "removed": (Path.unlink, "cannot read {path}: "),
    "folder": (_into_a_folder, "cannot read {path}: "),
}


@pytest.mark.parametrize("kind", ["map", "overlay"])
@pytest.mark.parametrize("damage", _DAMAGE)
def test_verify_finds_a_picture_that_is_not_as_written(
    run: Path, images: Path, kind: str, damage: str
) -> None:
    spoil, message = _DAMAGE[damage]
    path = _one_of(run, kind)
    spoil(path)
    found = verify(str(run), [str(images)])
    assert not found["ok"]
    (problem,) = found["problems"]
    assert problem.startswith(message.format(path=path))


@pytest.mark.parametrize(
    "name", ["other.png", "notes.txt", ".hidden", "deep/er/x.png", ".part-0123456789abcdef"]
)
def test_verify_finds_a_file_that_no_map_names(run: Path, images: Path, name: str) -> None:
    path = run / "map_pictures" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("foreign")
    found = verify(str(run), [str(images)])
    assert found["problems"] == [f"{path} belongs to no map of the run"]
    assert not found["ok"]


def test_verify_finds_a_file_in_another_folder_by_the_name_of_a_picture(
    run: Path, images: Path
) -> None:
    known = _one_of(run, "map")
    path = run / "map_pictures" / "old" / known.name
    path.parent.mkdir()
    path.write_bytes(b"foreign")
    assert verify(str(run), [str(images)])["problems"] == [f"{path} belongs to no map of the run"]


def test_verify_finds_pictures_in_a_run_without(
    finished: Runs, images: Path, tmp_path: Path
) -> None:
    for options in ({}, {"maps": "all"}):
        run = Path(shutil.copytree(finished(**options), tmp_path / f"run{len(options)}"))
        assert verify(str(run), [str(images)])["ok"]
        (run / "map_pictures").mkdir()
        assert verify(str(run), [str(images)])["ok"]
        (run / "map_pictures" / "a.png").touch()
        found = verify(str(run), [str(images)])
        assert found["problems"] == [f"{run}/map_pictures/a.png belongs to no map of the run"]


def test_verify_tells_of_every_picture(run: Path, images: Path) -> None:
    for number in range(3):
        _change(_one_of(run, "map", number))
    shutil.copy(_one_of(run, "overlay"), run / "map_pictures" / "copy.png")
    assert len(verify(str(run), [str(images)])["problems"]) == 4
    shutil.rmtree(run / "map_pictures")
    problems = verify(str(run), [str(images)])["problems"]
    assert len(problems) == 2 * len(rows_of(run, "maps"))


def test_verify_exits_with_1(run: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["verify", "--scores", str(run), "--input", str(images)]
    assert run_command(command, capsys)[0] == 0
    _change(_one_of(run, "map"))
    status, out, _ = run_command(command, capsys)
    assert status == 1
    assert "was changed since the run was written" in out


# Relabelling.


def test_relabel_copies_the_pictures(
    finished: Runs, run: Path, images: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new"
    ledger = relabel(str(run), str(new), fpr=0.3)
    assert (ledger["maps_of"], ledger["map_format"]) == ("all", "png")
    assert [own.row for own in drawn(new)] == [own.row for own in drawn(run)]
    assert picture_bytes(new) == picture_bytes(finished(**PNG))
    assert {path.name for path in new.iterdir()} == {path.name for path in run.iterdir()}
    assert verify(str(new), [str(images)])["ok"]
    before, after = (rows_of(folder, "scores") for folder in (run, new))
    assert [row["is_anomaly"] for row in before] != [row["is_anomaly"] for row in after]


def test_a_run_is_relabelled_in_its_place(finished: Runs, run: Path, images: Path) -> None:
    relabel(str(run), str(run), fpr=0.3, overwrite=True)
    assert picture_bytes(run) == picture_bytes(finished(**PNG))
    assert len(drawn(run)) == len(rows_of(run, "scores"))
    assert verify(str(run), [str(images)])["ok"]


def test_relabel_over_a_run_with_pictures_takes_them_away(
    finished: Runs, run: Path, images: Path
) -> None:
    relabel(str(finished(maps="all")), str(run), fpr=0.3, overwrite=True)
    assert not (run / "map_pictures").exists()
    assert verify(str(run), [str(images)])["ok"]


@pytest.mark.parametrize("damage", ["changed", "cut", "removed"])
@pytest.mark.parametrize("kind", ["map", "overlay"])
def test_relabel_refuses_pictures_that_are_not_as_written(
    run: Path, tmp_path: Path, kind: str, damage: str
) -> None:
    _DAMAGE[damage][0](_one_of(run, kind, 3))
    with pytest.raises(InputError, match=r"pictures/.*png"):
        relabel(str(run), str(tmp_path / "new"), fpr=0.3)
    assert not (tmp_path / "new").exists()


def _with_rows(run: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """The run with other rows of maps, sealed as if it had been written with them."""
    (path,) = (run / "maps").iterdir()
    pq.write_table(change(pq.read_table(path)), path, write_page_checksum=True)
    ledger = json.loads((run / "run.json").read_text())
    for file in ledger["files"]:
        if file["path"] == f"maps/{path.name}":
            file["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (run / "run.json").write_text(json.dumps(ledger))
    assert read_ledger(str(run))


def _renamed(column: str, values: list[Any]) -> Callable[[pa.Table], pa.Table]:
    """The table with different values at the beginning of a column."""

    def change(table: pa.Table) -> pa.Table:
        index = table.schema.get_field_index(column)
        new = [*values, *table[column].to_pylist()[len(values) :]]
        return table.set_column(index, column, pa.array(new, table.schema.field(column).type))

    return change


def test_relabel_writes_nothing_outside_its_folder(run: Path, tmp_path: Path) -> None:
    """Whatever the rows claim in a run that someone else has made."""
    content = b"anything"
    (tmp_path / "outside.png").write_bytes(content)
    change = _renamed("map_file", ["../outside.png"])
    digest = _renamed("map_sha256", [hashlib.sha256(content).hexdigest()])
    _with_rows(run, lambda table: digest(change(table)))
    new = tmp_path / "deeper" / "new"
    new.parent.mkdir()
    with pytest.raises(LatentbeamError):
        relabel(str(run), str(new), fpr=0.3)
    assert list(new.parent.iterdir()) == []


def test_verify_takes_no_file_outside_the_run_for_a_picture(
    run: Path, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside.png").write_bytes(_one_of(run, "map").read_bytes())
    digest = hashlib.sha256((tmp_path / "outside.png").read_bytes()).hexdigest()
    named, sealed = _renamed("map_file", ["../outside.png"]), _renamed("map_sha256", [digest])
    _with_rows(run, lambda table: sealed(named(table)))
    problems = verify(str(run), [str(images)])["problems"]
    assert any("outside.png" in problem for problem in problems)


@pytest.mark.parametrize(
    "column",
    [
        "map_file",
        "overlay_file",
        "map_sha256",
    ],
)
def test_rows_that_name_no_picture_are_a_problem_and_no_crash(
    run: Path, images: Path, tmp_path: Path, column: str
) -> None:
    _with_rows(run, _renamed(column, [None]))
    assert not verify(str(run), [str(images)])["ok"]
    with pytest.raises(LatentbeamError):
        relabel(str(run), str(tmp_path / "new"), fpr=0.3)


@pytest.mark.parametrize("column", ["map_file", "overlay_sha256"])
def test_columns_of_another_type_are_a_problem_and_no_crash(
    run: Path, images: Path, column: str
) -> None:
    def change(table: pa.Table) -> pa.Table:
        index = table.schema.get_field_index(column)
        return table.set_column(index, column, pa.array(range(len(table))))

    _with_rows(run, change)
    assert not verify(str(run), [str(images)])["ok"]
