"""Finishing a run: a failure at any point leaves no mixture, and a second call continues."""

import functools
import itertools
import json
from pathlib import Path

import pytest

from ae_models.errors import OutputError
from tests.support.failing_changes import Unreliable
from tests.support.staged_shards import staged_shards
from transforms.records.passed_over import Cause, PassedOver
from transforms.records.tallies import Tallies
from transforms.runs import finish as module
from transforms.runs.checkpoint_plan import Plan, write_plan
from transforms.runs.finish import count_records, finish_run
from transforms.runs.ledger import REJECTS, SCORES, read_ledger, result_files
from transforms.runs.output_folder import check_free
from transforms.runs.shards import Shard
from transforms.storage import changes


def _check_consistent(output: Path) -> None:
    """Checks that a folder with `_SUCCESS` contains all files of one run, and no others."""
    if not (output / "_SUCCESS").exists():
        return
    ledger = json.loads((output / "run.json").read_text())
    listed = {file["path"] for file in ledger["files"]}
    present = {str(path.relative_to(output)) for path in output.glob("*/*.parquet")
               if not path.parent.name.startswith(".")}  # fmt: skip
    assert present == listed
    assert {(output / path).read_text() for path in listed} == {ledger["run_id"]}


def _everything(folder: Path) -> dict[str, str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


def test_a_finished_run(tmp_path: Path) -> None:
    shards = staged_shards(tmp_path, "one", scores=2, rejects=1)
    ledger = finish_run(str(tmp_path), "one", shards=shards, facts={"seconds": 1.5})
    assert ledger == read_ledger(str(tmp_path)) == json.loads((tmp_path / "run.json").read_text())
    assert ledger["seconds"] == 1.5
    assert ledger["files"] == [  # in the order of their first records
        {"path": "scores/part-00000-of-00002.parquet", "rows": 11},
        {"path": "scores/part-00001-of-00002.parquet", "rows": 10},
        {"path": "rejects/part-00000-of-00001.parquet", "rows": 12},
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("_SUCCESS", "passed_over", "rejects", "run.json", "scores")
    ]
    assert result_files(str(tmp_path), REJECTS) == [
        f"{tmp_path}/rejects/part-00000-of-00001.parquet"
    ]
    assert len(result_files(str(tmp_path), SCORES)) == 2
    _check_consistent(tmp_path)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_failure_at_any_point_leaves_no_mixture_and_a_second_call_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, overwrite: bool
) -> None:
    for fail_at in itertools.count(1):
        output = tmp_path / str(fail_at)
        if overwrite:
            finish_run(
                str(output),
                "old",
                shards=staged_shards(output, "old", scores=3, rejects=1),
                facts={},
            )
        shards = staged_shards(output, "new", scores=1, rejects=2)
        monkeypatch.setattr(
            module,
            "changes",
            Unreliable(functools.partial(_check_consistent, output), fail_at, when),
        )
        try:
            finish_run(str(output), "new", shards=shards, facts={}, overwrite=overwrite)
        except OutputError:
            failed = True
        else:
            failed = False
        monkeypatch.setattr(module, "changes", changes)
        _check_consistent(output)
        ledger = finish_run(str(output), "new", shards=shards, facts={}, overwrite=overwrite)
        _check_consistent(output)
        assert ledger["run_id"] == "new"
        found = _everything(output)
        assert sorted(found) == [
            "_SUCCESS",
            "rejects/part-00000-of-00002.parquet",
            "rejects/part-00001-of-00002.parquet",
            "run.json",
            "scores/part-00000-of-00001.parquet",
        ], f"failure {when} change {fail_at}"
        if not failed:
            break
    assert fail_at > 8


def test_a_second_call_changes_nothing(tmp_path: Path) -> None:
    shards = staged_shards(tmp_path, "one", scores=1, rejects=0)
    first = finish_run(str(tmp_path), "one", shards=shards, facts={"seconds": 1})
    before = _everything(tmp_path)
    assert finish_run(str(tmp_path), "one", shards=shards, facts={"seconds": 2}) == first
    assert _everything(tmp_path) == before


def test_a_shard_that_is_gone_leaves_no_finished_run(tmp_path: Path) -> None:
    shards = staged_shards(tmp_path, "one", scores=2, rejects=0)
    Path(shards[1].path).unlink()
    with pytest.raises(Exception):  # noqa: B017, PT011 - a runner tries again after any
        finish_run(str(tmp_path), "one", shards=shards, facts={})
    assert not (tmp_path / "_SUCCESS").exists()


def test_a_run_that_lost_a_file_replaces_nothing(tmp_path: Path) -> None:
    """Not even if the earlier results contain a file with the same name."""
    finish_run(
        str(tmp_path), "old", shards=staged_shards(tmp_path, "old", scores=2, rejects=0), facts={}
    )
    before = _everything(tmp_path)
    shards = staged_shards(tmp_path, "new", scores=2, rejects=0)
    Path(shards[0].path).unlink()
    with pytest.raises(OutputError, match="is gone: the run cannot be finished"):
        finish_run(str(tmp_path), "new", shards=shards, facts={}, overwrite=True)
    assert {name: text for name, text in _everything(tmp_path).items() if name[0] != "."} == before


def test_a_run_that_is_not_finished_gives_way_to_one_that_is(tmp_path: Path) -> None:
    output = str(tmp_path)
    staged_shards(tmp_path, "old", scores=1, rejects=0)
    write_plan(output, Plan("old", 100, {}))
    shards = staged_shards(tmp_path, "new", scores=1, rejects=0)
    with pytest.raises(OutputError, match="unfinished run: give --resume to continue it"):
        finish_run(output, "new", shards=shards, facts={})
    finish_run(output, "new", shards=shards, facts={}, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("_SUCCESS", "passed_over", "rejects", "run.json", "scores")
    ]


@pytest.mark.parametrize("text", ["{", '{"format_version": 99}', "[]", None])
def test_results_that_cannot_be_read_can_be_overwritten(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "_SUCCESS").touch()
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    check_free(str(tmp_path), overwrite=True)
    shards = staged_shards(tmp_path, "new", scores=1, rejects=0)
    finish_run(str(tmp_path), "new", shards=shards, facts={}, overwrite=True)
    _check_consistent(tmp_path)
    assert read_ledger(str(tmp_path))["run_id"] == "new"


def test_a_run_that_finished_meanwhile_is_not_replaced_unasked(tmp_path: Path) -> None:
    shards = staged_shards(tmp_path, "slow", scores=1, rejects=0)
    finish_run(
        str(tmp_path), "fast", shards=staged_shards(tmp_path, "fast", scores=2, rejects=1), facts={}
    )
    with pytest.raises(OutputError, match="already contains results"):
        finish_run(str(tmp_path), "slow", shards=shards, facts={})
    assert read_ledger(str(tmp_path))["run_id"] == "fast"
    _check_consistent(tmp_path)


def test_what_does_not_belong_to_results_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    finish_run(
        str(tmp_path), "one", shards=staged_shards(tmp_path, "one", scores=1, rejects=0), facts={}
    )
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_counts_of_a_run() -> None:
    shards = [
        Shard(SCORES, "a", 5, "", {}),
        Shard(SCORES, "b", 7, "", {}),
        Shard(REJECTS, "c", 3, "", {"empty": 1, "corrupt": 2}),
        Shard(REJECTS, "d", 1, "", {"empty": 1}),
    ]
    passed_over = PassedOver()
    passed_over.add(Cause.LINK, "a", 2)
    passed_over.add(Cause.MEMBER, "b#c")
    tallies = Tallies(16, 4, passed_over)
    assert count_records(shards, tallies, rejects_known=True) == {
        "records": {
            "read": 16,
            "scored": 12,
            "rejected": 4,
            "rejected_by_reason": {"corrupt": 2, "empty": 2},
            "excluded_by_where": 4,
        },
        "files_passed_over": 2,
        "passed_over": {"link": 2, "member": 1},
    }


def test_counts_that_are_not_known_are_none() -> None:
    records = count_records([], Tallies(), rejects_known=False)["records"]
    assert (records["read"], records["rejected"], records["scored"]) == (None, None, 0)
