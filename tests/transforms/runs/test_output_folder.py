"""What a run's output folder may contain before the run."""

from pathlib import Path

import pytest

from ae_models.errors import OutputError
from tests.support.staged_shards import staged_shards
from transforms.runs.checkpoint_plan import PLAN
from transforms.runs.output_folder import check_free, discard_unfinished


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format_version": 99}'])
def test_a_plan_that_cannot_be_read_can_be_overwritten(tmp_path: Path, text: str) -> None:
    (tmp_path / PLAN).write_text(text)
    with pytest.raises(OutputError, match=r"cannot read .*; give --overwrite to start over"):
        check_free(str(tmp_path), overwrite=False)
    check_free(str(tmp_path), overwrite=True)
    discard_unfinished(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["_SUCCESS", "run.json", "scores/a.parquet", "rejects/b.parquet"])
def test_a_folder_with_any_result_is_not_free(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    with pytest.raises(OutputError, match=name.partition("/")[0]):
        check_free(str(tmp_path), overwrite=False)
    check_free(str(tmp_path), overwrite=True)


def test_other_folders_are_free(tmp_path: Path) -> None:
    check_free(str(tmp_path / "new"), overwrite=False)
    (tmp_path / "scores").mkdir()
    (tmp_path / "notes.txt").touch()
    staged_shards(tmp_path, "failed", scores=1, rejects=0)
    check_free(str(tmp_path), overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_no_folder(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="not a folder"):
        check_free(str(tmp_path / "file"), overwrite)
