"""Finishing a run whose maps have pictures: a failure at any point loses none, and a second call
continues."""

import functools
import hashlib
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ae_models.errors import OutputError
from tests.support import object_store
from tests.support.failing_changes import Unreliable
from transforms.results.pictures import damaged_pictures
from transforms.runs import finish as module
from transforms.runs.finish import finish_run
from transforms.runs.ledger import MAPS, PASSED_OVER, PICTURES, REJECTS, SCORES
from transforms.runs.pictures import write_pictures
from transforms.runs.shards import Shard, ShardLimits, ShardWriter
from transforms.storage import changes
from transforms.storage.staging import staging_folder

KINDS = (SCORES, REJECTS, PASSED_OVER, MAPS)


@pytest.fixture(autouse=True)
def unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skips flushing: no power fails here, and disks may be slow."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def _shards(folder: str, ids: Sequence[str], content: str) -> list[Shard]:
    """Shards staged in a folder, with the pictures that they name."""
    rows = pa.RecordBatch.from_pydict(
        {
            "id": list(ids),
            "map_file": pa.array([f"map {own} {content}".encode() for own in ids], pa.binary()),
            "overlay_file": pa.array(
                [f"over {own} {content}".encode() for own in ids], pa.binary()
            ),
        }
    )
    writer = ShardWriter(folder, MAPS, ShardLimits())
    return [*writer.add(write_pictures(rows, folder)), *writer.close()]


def _staged(output: str, run_id: str, content: str) -> list[Shard]:
    """The staged shards of two parts that have one picture in common."""
    staging = staging_folder(output, run_id)
    parts = [_shards(f"{staging}/part-{n}", ids, content) for n, ids in enumerate(("ab", "bc"))]
    return [shard for shards in parts for shard in shards]


def _check_consistent(output: Path) -> None:
    """Checks that all pictures of one run exist if `_SUCCESS` does, and those that rows name."""
    if (output / "_SUCCESS").exists():
        assert list(damaged_pictures(str(output))) == []
        assert len(_found(output)) == 6
    for path in (output / MAPS).glob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            for kind in ("map", "overlay"):
                content = (output / row[f"{kind}_file"]).read_bytes()
                assert hashlib.sha256(content).hexdigest() == row[f"{kind}_sha256"]


def _found(output: Path) -> set[bytes]:
    return {path.read_bytes() for path in (output / PICTURES).iterdir()}


def _expected(content: str) -> set[bytes]:
    return {f"{kind} {own} {content}".encode() for kind in ("map", "over") for own in "abc"}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_failure_at_any_point_loses_no_picture_and_a_second_call_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, overwrite: bool
) -> None:
    monkeypatch.setattr("transforms.runs.pictures._ROWS", 2)  # hence a few files at a time
    for fail_at in itertools.count(1):
        output = tmp_path / str(fail_at)
        options: dict[str, Any] = {"facts": {}, "kinds": KINDS}
        if overwrite:
            old = _staged(str(output), "old", "old")
            finish_run(str(output), "old", shards=old, **options)
        new = _staged(str(output), "new", "new")
        options |= {"shards": new, "overwrite": overwrite}
        monkeypatch.setattr(
            module,
            "changes",
            Unreliable(functools.partial(_check_consistent, output), fail_at, when),
        )
        try:
            finish_run(str(output), "new", **options)
        except OutputError:
            failed = True
        else:
            failed = False
        monkeypatch.setattr(module, "changes", changes)
        _check_consistent(output)
        assert finish_run(str(output), "new", **options)["run_id"] == "new"
        _check_consistent(output)
        assert _found(output) == _expected("new"), f"failure {when} change {fail_at}"
        names = {"_SUCCESS", "run.json", *KINDS, PICTURES}
        assert {path.name for path in output.iterdir()} <= names
        if not failed:
            break
    assert fail_at > 15


def test_a_run_that_lost_a_picture_replaces_nothing(tmp_path: Path) -> None:
    """Not even if the earlier results contain a picture with the same name."""
    output = str(tmp_path)
    for content in ("same", "other"):
        finish_run(output, "old", shards=_staged(output, "old", "same"), facts={}, kinds=KINDS)
        shards = _staged(output, "new", content)
        lost = next(Path(staging_folder(output, "new")).glob("part-0/map_pictures/a-*.map.png"))
        lost.unlink()
        with pytest.raises(OutputError, match="is gone: the run cannot be finished"):
            finish_run(output, "new", shards=shards, facts={}, kinds=KINDS, overwrite=True)
        assert _found(tmp_path) == _expected("same")
        _check_consistent(tmp_path)


def test_what_no_row_names_is_left_behind(tmp_path: Path) -> None:
    """For example, the files of a retried Beam bundle, or of a crashed writer."""
    output = str(tmp_path)
    shards = _staged(output, "one", "content")
    pictures = Path(staging_folder(output, "one")) / "part-0" / PICTURES
    for name in ("other-0123456789abcdef.map.png", ".part-0123"):
        (pictures / name).write_bytes(b"of nobody")
    finish_run(output, "one", shards=shards, facts={}, kinds=KINDS)
    assert _found(tmp_path) == _expected("content")
    assert {path.name for path in tmp_path.iterdir()} <= {"_SUCCESS", "run.json", *KINDS, PICTURES}


def test_objects_of_a_store_are_moved_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may take any number of attempts."""
    monkeypatch.setenv(object_store.ROOT, str(tmp_path))
    output, attempts = "bucket://b/run", 0
    shards, left = _staged(output, "one", "content"), 0

    def on_change(change: str, path: str) -> None:
        nonlocal left
        if f"{output}/{PICTURES}/" in path and change == "copy":
            left -= 1
            if left < 0:
                raise OSError("the store is gone")

    monkeypatch.setattr(object_store.BucketFileSystem, "on_change", staticmethod(on_change))
    while True:
        left, attempts = 2, attempts + 1
        try:
            finish_run(output, "one", shards=shards, facts={}, kinds=KINDS)
            break
        except OutputError:
            assert attempts < 10
    assert attempts > 2
    found = object_store.objects(f"{output}/{PICTURES}/")
    assert {object_store.get(path) for path in found} == _expected("content")
    assert len(found) == 6
    assert list(damaged_pictures(output)) == []
    names = {
        path.removeprefix(f"{output}/").partition("/")[0] for path in object_store.objects(output)
    }
    assert names == {"_SUCCESS", "run.json", MAPS, PICTURES}
