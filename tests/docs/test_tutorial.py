"""The tutorial's commands, as they stand there, on a small folder of JPEGs."""

import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.support.command import run_command
from tests.support.pages import code_blocks
from tests.support.photos import GOOD, SCRATCHED, write_photos

_QUICKLY = ["--epochs", "2", "--set", "model.network=dense"]


def test_the_tutorial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos")
    commands = [
        shlex.split(line)
        for block in code_blocks("tutorial.md", "sh")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    assert [command[1] for command in commands] == [
        *("train", "explore", "score", "verify", "explore", "evaluate", "relabel"),
        *("cluster", "report"),
    ]
    for command in commands:
        more = _QUICKLY if command[1] == "train" else []
        status, _, err = run_command([*command[1:], *more], capsys)
        assert status == 0, err
    (example,) = code_blocks("tutorial.md", "python")
    exec(compile(example, "docs/tutorial.md", "exec"), {})
    assert "scratched/" in capsys.readouterr().out
    assert pq.read_table("clusters/clusters").num_rows == GOOD + SCRATCHED
    for picture in ("reconstructions.png", "where.png"):
        with Image.open(picture) as opened:
            assert opened.width > 300
    assert "scratched/" in Path("report.html").read_text()
