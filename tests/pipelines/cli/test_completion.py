"""Completion in a real shell, as its script asks for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import run_command
from tests.support.project import PROJECT

BASH = shutil.which("bash")
# What a shell does at Tab; `compopt` works in a completion alone, and asks for files or folders.
_TAB = """
compopt() { asked="$2"; }
eval "$(latentbeam completion bash)"
while IFS= read -r line; do
    eval "COMP_WORDS=($line)"
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=() asked=""
    _latentbeam_completion latentbeam
    echo "$asked|${COMPREPLY[*]}"
done
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH with the command."""
    script = tmp_path / "latentbeam"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m pipelines.cli "$@"\n')
    script.chmod(0o755)
    return f"{tmp_path}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.skipif(BASH is None, reason="there is no bash")
def test_bash_completes_commands_options_choices_and_paths(path: str) -> None:
    expected = {
        "sco": "|score",
        "explore tr": "|traverse",
        "score --max": "|--max_rejects",
        "score --max-r": "|--max_rejects",
        "score -i a b --mod": "|--model",
        "score --runner=FlinkRunner --outp": "|--output --outputs",
        "score --map_format ''": "|parquet png",
        "train --model ''": "|ae dae vae",
        "completion f": "|fish",
        "score --input ''": "default|",
        "score -i a b": "default|",
        "score --model ''": "dirnames|",
        "inspect ''": "dirnames|",
    }
    lines = "".join(f"latentbeam {line}\n" for line in expected)
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [str(BASH), "--norc", "-c", _TAB],
        input=lines,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert dict(zip(expected, done.stdout.splitlines(), strict=True)) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_the_one_that_click_gives(
    shell: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, script, err = run_command(["completion", shell], capsys)
    assert (status, err) == (0, "")
    assert "latentbeam" in script
    assert f"_LATENTBEAM_COMPLETE={shell}_complete" in script
    monkeypatch.setenv("_LATENTBEAM_COMPLETE", f"{shell}_source")
    status, out, _ = run_command([], capsys)
    assert status == 0
    assert out.strip() == script.strip()


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run_command(["completion", "tcsh"], capsys)
    assert (status, out) == (2, "")
    assert "'bash', 'zsh', 'fish'" in err
