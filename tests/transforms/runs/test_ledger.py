"""Reading the ledger of a finished run."""

from pathlib import Path

import pytest

from ae_models.errors import InputError
from transforms.runs.ledger import SCORES, read_ledger, result_files


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no finished run"),
        ({"run.json": '{"format_version": 1}'}, "no finished run"),
        ({"_SUCCESS": ""}, "cannot read"),
        ({"_SUCCESS": "", "run.json": "{"}, "cannot read"),
        ({"_SUCCESS": "", "run.json": "\udcff"}, "cannot read"),
        ({"_SUCCESS": "", "run.json": "[]"}, "unknown format"),
        ({"_SUCCESS": "", "run.json": '{"format_version": 99}'}, "unknown format"),
    ],
)
def test_a_folder_without_a_finished_run_is_an_error(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    for read in (read_ledger, lambda output: result_files(output, SCORES)):
        with pytest.raises(InputError, match=message):
            read(str(tmp_path))
