"""Whatever the name of an output, other files keep every byte."""

import os
import shutil
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ae_models.errors import OutputError
from pipelines.commands.relabel import relabel
from pipelines.console.output_file import write_file
from tests.support.finished_run import write_run
from tests.support.odd_names import NASTY, contents, drawn, matches_any, neighbours, settle
from transforms.parts.checkpoints import PartResult, commit, committed, forget, part_folder
from transforms.records.tallies import Tallies
from transforms.results.derived_folder import DerivedFolder
from transforms.runs.checkpoint_plan import Plan, read_plan, write_plan
from transforms.runs.finish import finish_run
from transforms.runs.ledger import read_ledger, unlisted_files, write_failure
from transforms.runs.output_folder import check_free, discard_unfinished
from transforms.runs.run_lock import held
from transforms.runs.shards import Shard
from transforms.storage.changes import remove, write_text
from transforms.storage.files import exists, files_below
from transforms.storage.staging import staging_folder

OWN = (
    "notes*.txt",
    "scores?",
    "run.json~",
    "[failed].json",
)  # someone's files within the run's folder


def _shard(folder: str, kind: str = "scores") -> Shard:
    path = f"{folder}/{kind}-{uuid.uuid4().hex}.parquet"
    write_text(path, "rows")
    return Shard(kind, path, 1, "a", {})


def _everything(output: str, source: str) -> None:
    """Everything that may happen to a run's folder, and to a file with that name."""
    check_free(output, overwrite=False)
    with held(output):
        write_plan(output, Plan("parts", 10, {}))
        for number in range(2):
            shards = [_shard(part_folder(output, "parts", number))]
            commit(output, "parts", number, PartResult("0", shards, Tallies(), 1.0))
        forget(output, "parts", 0)
        assert committed(output, "parts", 0) is None
        discard_unfinished(output)
        assert read_plan(output) is None
        write_plan(output, Plan("parts", 10, {}))
        shards = [_shard(part_folder(output, "parts", 0))]
        finish_run(output, "parts", shards=shards, facts={})
        discard_unfinished(output)
    assert read_ledger(output)["run_id"] == "parts"
    assert unlisted_files(output) == []
    stray = os.path.join(output, "scores", "stray[1].parquet")
    write_text(stray, "")
    assert unlisted_files(output) == [stray]
    remove(stray)
    write_failure(output, {})
    with pytest.raises(OutputError, match="already contains results"):
        check_free(output, overwrite=False)
    _shard(staging_folder(output, "died"))
    with held(output):
        assert not exists(os.path.join(output, "failed.json"))
        shards = [_shard(staging_folder(output, "new"), kind) for kind in ("scores", "rejects")]
        finish_run(output, "new", shards=shards, facts={}, overwrite=True)
    assert not any(".staging-" in path for path in files_below(output))
    relabel(source, output, fpr=0.5, overwrite=True)
    derived = DerivedFolder(output, "clusters", overwrite=True)
    derived.stage_model(lambda file: None)
    derived.finish([_shard(derived.staging, "clusters")], {})
    assert read_ledger(output)["run_id"] == derived.run_id


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small run."""
    columns = {"id": ["a", "b"], "p_value": np.array([0.1, 0.9]), "is_anomaly": [True, False]}
    return write_run(tmp_path_factory.mktemp("source") / "run", pa.table(columns))


def _try(name: str, folder: Path, source: str, *, absolute: bool, slash: bool) -> int:
    """Returns the number of neighbours, all of which were unchanged afterwards."""
    own = (name, f"{name}.html")
    others = [other for other in neighbours(name) if other not in own]
    settle(folder, [other for other in others if f"{other}.html" not in own])
    for path in OWN:
        write_text(str(folder / name / path), path)
    before, kept = contents(folder, own), contents(folder / name)
    path = str(folder / name) if absolute else name
    _everything(f"{path}/" if slash else path, source)
    write_file(f"{path}.html", b"page", "text/html")
    write_file(f"{path}.html", b"newer", "text/html")
    assert contents(folder, own) == before
    found = contents(folder / name)
    assert kept.items() <= found.items()
    assert {path.split("/")[0] for path in found.keys() - kept.keys()} == {
        *("_SUCCESS", "run.json", "clusters", "model.npz")
    }
    assert (folder / f"{name}.html").read_bytes() == b"newer"
    return len(others)


def _try_all(
    names: list[str], folder: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, int]:
    monkeypatch.setattr(os, "fsync", lambda file: None)  # no power failures here
    tried, count = 0, 0
    for number, name in enumerate(names):
        place = folder / str(number)
        place.mkdir()
        monkeypatch.chdir(place)
        try:
            count += _try(name, place, source, absolute=number % 2 == 0, slash=number % 3 == 0)
        except BaseException as error:
            error.add_note(f"of the name {name!r}")
            raise
        tried += 1
        monkeypatch.chdir(folder)
        shutil.rmtree(place)
    return tried, count


def test_what_others_have_stays_as_it_is(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [*NASTY, *drawn(20, uuid.uuid4().int)]
    tried, count = _try_all(names, tmp_path, source, monkeypatch)
    assert tried == len(names)
    assert count > 10 * tried


@pytest.mark.parametrize(
    "number",
    [pytest.param(200, marks=pytest.mark.slow), pytest.param(10_000, marks=pytest.mark.long)],
)
def test_what_others_have_stays_as_it_is_many_times(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    names = list(drawn(number, 0))
    tried, count = _try_all(names, tmp_path, source, monkeypatch)
    print(f"{tried:,} names, {count:,} neighbours: no byte of theirs changed")


def test_neighbours_are_what_a_matcher_would_take_for_the_name() -> None:
    for name in NASTY:
        assert matches_any(name, neighbours(name)), name
