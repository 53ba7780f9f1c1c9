"""What needs no model and no engine loads none of what they take: it starts at once."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.commands.score import score
from tests.test_import import FRAMEWORKS

# The heavy packages that are loaded once each command has run, in one process after the other.
_PROGRAM = """
import json, sys
from pipelines.cli import main
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as exit:
        assert not exit.code, arguments
    heavy = sorted(set(json.loads(sys.argv[2])) & set(sys.modules))
    print(arguments[0], *heavy, file=sys.stderr)
"""


@pytest.fixture
def runs(bundle: Callable[[str], Path], image_folder: Path, tmp_path: Path) -> dict[str, str]:
    """A finished run of each of two inputs."""
    inputs = {"builtin:digits": str(tmp_path / "digits"), str(image_folder): str(tmp_path / "pngs")}
    for uri, folder in inputs.items():
        score([uri], str(bundle("ae")), folder)
    return inputs


def test_what_reads_a_finished_run_loads_no_framework(
    runs: dict[str, str], bundle: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = runs["builtin:digits"]
    by_score = ["relabel", "--score", "latent_knn"]
    commands = [
        ["inspect", str(bundle("vae"))],
        ["relabel", "--scores", folder, "--output", str(tmp_path / "new"), "--fdr", "0.1"],
        [*by_score, "--scores", folder, "--output", str(tmp_path / "other"), "--fdr", "0.1"],
        ["evaluate", "--scores", folder, "--anomalous", "label=0"],
        *(["verify", "--scores", run, "--input", uri] for uri, run in runs.items()),
    ]
    frameworks = sorted(FRAMEWORKS - {"apache_beam"})
    arguments = [json.dumps(commands), json.dumps(frameworks)]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if line.split(" ")[0] in _names(commands)]
    assert told == [command[0] for command in commands]


def _names(commands: list[list[str]]) -> set[str]:
    return {command[0] for command in commands}
