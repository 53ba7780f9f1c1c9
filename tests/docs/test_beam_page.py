"""The examples of docs/how-to/beam.md, as they stand there."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tests.support.beam_yaml import run_yaml
from tests.support.pages import code_blocks

_PYTHON = code_blocks("how-to/beam.md", "python")


@pytest.fixture
def folder(bundle: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the page says is there."""
    monkeypatch.chdir(tmp_path)
    for name in ("bundle", "bundles/bolt", "bundles/nut"):
        shutil.copytree(bundle("ae"), tmp_path / name)
    for index, pixels in enumerate(load_digits().images[:20]):
        path = tmp_path / "images" / ("bolt", "nut")[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15).astype(np.uint8)).save(path)
    return tmp_path


@pytest.mark.parametrize("number", range(len(_PYTHON)))
def test_python_examples_run(folder: Path, number: int) -> None:
    exec(compile(_PYTHON[number], "docs/how-to/beam.md", "exec"), {"__name__": "__main__"})
    for run in folder.glob("run*"):
        assert (run / "_SUCCESS").exists()
        assert pq.read_table(run / "scores").num_rows == 20


def test_the_yaml_example_runs(folder: Path) -> None:
    (block,) = code_blocks("how-to/beam.md", "yaml")
    (folder / "score.yaml").write_text(block)
    run_yaml("score.yaml")
    records = json.loads((folder / "run_of_yaml" / "run.json").read_text())["records"]
    assert (records["read"], records["scored"], records["rejected"]) == (20, 20, 0)
    assert list(folder.glob("odd-*"))
