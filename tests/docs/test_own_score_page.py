"""The score that docs/how-to/own_score.md adds: its file, its line in the registry, its oracle."""

import re
import shlex
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from sklearn.datasets import load_digits

import ae_models.scores
from ae_models.scores import SCORES
from tests.support.command import run_command
from tests.support.pages import code_blocks

PAGE = "how-to/own_score.md"
_NAME = "latent_deviation"


def _added(number: int) -> str:
    """The lines that a block of changes adds."""
    block = code_blocks(PAGE, "diff")[number]
    return textwrap.dedent("".join(re.findall(r"^\+(.*\n)", block, re.MULTILINE)))


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's file and line, without a change of the package itself."""
    (file,) = (block for block in code_blocks(PAGE, "python") if _NAME in block)
    members = eval(f"{{{_added(0)}}}")
    module = members[_NAME].partition(":")[0].rpartition(".")[2]
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / f"{module}.py").write_text(file)
    monkeypatch.setattr(
        ae_models.scores, "__path__", [*ae_models.scores.__path__, str(tmp_path / "room")]
    )
    monkeypatch.setattr(SCORES, "_members", SCORES._members | members)


@pytest.mark.usefixtures("registered")
def test_it_is_what_its_oracle_gives(generator: np.random.Generator) -> None:
    latents = generator.normal(size=(200, 3)).astype(np.float32)
    outputs, x = {"latent_mean": latents}, np.zeros((200, 2, 2, 1), np.float32)
    score = SCORES[_NAME]()
    score.fit(np.asarray(score.features(x, outputs)))
    oracle = eval(f"{{{_added(1)}}}", {"np": np, "stats": stats})[_NAME]
    np.testing.assert_allclose(score(x, outputs), oracle(x, outputs), rtol=2e-4)


@pytest.mark.usefixtures("registered")
def test_a_bundle_has_it_as_primary_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for index, digit in enumerate(load_digits().images[:240]):
        path = tmp_path / "photos" / ("scratched" if index % 12 == 0 else "good") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digit * 15).astype(np.uint8)).save(path)
    (block,) = (block for block in code_blocks(PAGE, "sh") if f"--primary {_NAME}" in block)
    for line in block.replace("\\\n", " ").splitlines():
        command = shlex.split(line)[1:]
        quickly = ["--epochs", "1", "--set", "model.network=dense"] if command[0] == "train" else []
        status, out, err = run_command([*command, *quickly], capsys)
        assert status == 0, err
    assert f"{_NAME} *" in out
