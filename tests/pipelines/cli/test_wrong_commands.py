"""Command lines that are wrong end with one line and an exit status, never with a traceback."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pipelines.cli
from tests.support.command import run_command
from tests.support.project import PROJECT
from tests.support.wrong_commands import Places, commands, wrong_line

_FEW, _MANY = 25, 500
_PACKAGE = Path(pipelines.cli.__file__).parent  # installed, or the sources


@pytest.fixture(scope="module")
def places(
    bundle: Callable[[str], Path],
    digits_run: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Places:
    return Places.make(tmp_path_factory.mktemp("drawn"), bundle("ae"), digits_run("ae"))


def _check(places: Places, number: int, capsys: pytest.CaptureFixture[str]) -> int:
    line = wrong_line(places, number)
    status, out, err = run_command(line, capsys)
    said = [text for text in err.splitlines() if text.startswith("latentbeam: ")]
    told = f"number {number}: {line!r} ended with {status}:\n{err}"
    assert "Traceback" not in out + err, told
    assert status in (0, 1, 2), told
    assert len(said) == (0 if status == 0 else 1) or "verify" in line, told
    assert len(err) < 10_000, told
    return status


def test_a_few_drawn_lines_that_are_wrong(
    places: Places, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(places.folder)
    for number in range(_FEW):
        _check(places, number, capsys)


@pytest.mark.long
@pytest.mark.parametrize("share", range(10))
def test_many_drawn_lines_that_are_wrong(
    share: int, places: Places, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(places.folder)
    numbers = range(_FEW + share, _FEW + _MANY, 10)
    found = [_check(places, number, capsys) for number in numbers]
    assert found.count(0) < len(found) / 4  # else they are not wrong


def test_lines_of_every_command_are_drawn(places: Places) -> None:
    drawn = [wrong_line(places, number) for number in range(_FEW, _FEW + _MANY)]
    for words in commands():
        assert any(tuple(line[: len(words)]) == words for line in drawn)


@pytest.mark.parametrize(
    "program",
    [[str(_PACKAGE)], [str(_PACKAGE / "__main__.py")], ["-m", "pipelines.cli"]],
    ids=["folder", "file", "module"],
)
def test_every_way_to_start_the_command(program: list[str], tmp_path: Path) -> None:
    """A folder on Python's path must not hide a module of the standard library, as `inspect`."""
    started = [sys.executable, *program, "inspect", str(tmp_path)]
    found = subprocess.run(started, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr.count("\n")) == (2, "", 1)
    assert str(tmp_path) in found.stderr
