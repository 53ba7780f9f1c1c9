"""Commands with path names that are harmful in patterns, terminals or text."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import run_command
from tests.support.odd_names import contents, neighbours, settle

Bundles = Callable[[str], Path]
NAMES = ["run[1]", "*?", "-x \\[!a]\n~", "\udce9\u202e[a"]


class _Place:
    """A folder with results of others, in which commands run with relative paths."""

    def __init__(self, folder: Path, name: str, capsys: pytest.CaptureFixture[str]):
        self._folder, self._capsys, self._own = folder, capsys, set[str]()
        settle(folder, neighbours(name))
        self._before = contents(folder)

    def own(self, path: str) -> str:
        """The output of the next command."""
        assert path not in self._before
        self._own.add(path)
        return path

    def call(self, *arguments: str, status: int = 0) -> str:
        """The command's result as JSON, or its error line; results of others never change."""
        found, out, err = run_command([*arguments, "--json"], self._capsys)
        assert found == status, err
        assert contents(self._folder, tuple(self._own)) == self._before
        return out if status == 0 else err


@pytest.mark.parametrize(
    "name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.long) for name in NAMES[1:])]
)
def test_every_output_may_have_it(
    bundle: Bundles,
    image_folder: Path,
    tmp_path: Path,
    name: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    place = _Place(folder, name, capsys)
    model, images = str(bundle("vae")), str(image_folder)
    run, pictures = place.own(name), place.own(f"{name}.images")
    score = ["score", "--model", model, f"--output={run}"]
    shutil.copytree(image_folder / "1", pictures)
    place.call(*score, "--input", images)
    assert "already contains results" in place.call(*score, "--input", images, status=2)
    place.call(*score, "--input", images, "--overwrite", "--checkpoint_every=15")
    place.call(*score, "--input", images, "--resume", "--checkpoint_every=15")
    found = json.loads(place.call(*score, f"--input={pictures}", "--overwrite"))
    assert found["records"]["scored"] == len(os.listdir(pictures))
    assert json.loads(place.call("verify", f"--scores={run}", f"--input={pictures}"))["ok"]
    place.call("verify", f"--scores={run}", f"--input={images}", status=1)
    shutil.rmtree(run)
    place.call(*score, "--input", "builtin:digits")
    scores = f"--scores={run}"
    for what, arguments in {
        "relabel": ["--fpr=0.5"],
        "cluster": ["--clusters=2", "--sample=300"],
        "classify": ["--sample=300"],
    }.items():
        output = place.own(f"{name}.{what}")
        for flags in ([], ["--overwrite"]):
            place.call(what, scores, f"--output={output}", *arguments, *flags)
        assert (folder / output / "_SUCCESS").exists()
    output = place.own(f"{name}.applied")
    place.call("classify", scores, f"--apply={name}.relabel", f"--output={output}")
    place.call("evaluate", scores, "--anomalous", "label=0")
    page = place.own(f"{name}.page.html")
    report = ["report", scores, "--model", model, f"--clusters={name}.cluster"]
    for _ in range(2):
        place.call(*report, f"--output={page}")
    assert (folder / page).read_text(encoding="utf-8").startswith("<!")
    picture = place.own(f"{name}.png")
    place.call("explore", "sample", "--model", model, f"--output={picture}")
    assert (folder / picture).read_bytes().startswith(b"\x89PNG")
