"""The tutorial's commands, as they stand there, on a small folder of JPEGs."""

import shlex
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits

from tests.support.command import run_command
from tests.support.pages import code_blocks

_GOOD, _SCRATCHED = 200, 20
_QUICKLY = ["--epochs", "2", "--set", "model.network=dense"]


def _write_photos(folder: Path) -> None:
    for index, digit in enumerate(load_digits().images[: _GOOD + _SCRATCHED]):
        kind = "good" if index < _GOOD else "scratched"
        image = Image.fromarray((digit * 15).astype(np.uint8)).resize((40, 36)).convert("RGB")
        if kind == "scratched":
            ImageDraw.Draw(image).line((0, 30, 39, 3), fill=(255, 0, 0), width=3)
        path = folder / kind / f"{index:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)


def test_the_tutorial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _write_photos(tmp_path / "photos")
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
    assert pq.read_table("clusters/clusters").num_rows == _GOOD + _SCRATCHED
    with Image.open("reconstructions.png") as picture:
        assert picture.width > 300
    assert "scratched/" in Path("report.html").read_text()
