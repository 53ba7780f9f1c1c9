"""What `--help` shows: groups of options, and examples that are right."""

import re
import shlex
import subprocess
import sys

import click
import pytest

from pipelines.cli import cli
from pipelines.cli.entry import repeat_flags
from tests.support.command import run_command
from tests.support.wrong_commands import commands
from tests.test_import import FRAMEWORKS

ALL = sorted(commands())
SHORT = {"--input": "-i", "--output": "-o", "--model": "-m"}


def _help(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> str:
    status, out, err = run_command([*words, "--help"], capsys)
    assert (status, err) == (0, "")
    return out


@pytest.mark.parametrize("words", [(), ("explore",), *ALL])
def test_help_fits_a_terminal_of_80_columns(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for line in _help(words, capsys).splitlines():
        example = line.lstrip().startswith(("latentbeam ", "--"))
        assert len(line) <= (86 if example else 80), line


@pytest.mark.parametrize("words", ALL)
def test_every_option_is_in_a_group_and_has_a_text(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    shown = _help(words, capsys)
    groups = re.findall(r"^(\w[\w ]*):$", shown, re.MULTILINE)
    assert groups[-2:-1] == ["Other options"]
    assert len(set(groups)) == len(groups)
    for parameter in commands()[words].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, parameter
            assert parameter.opts[0] in shown
            assert parameter.group != "Other options", parameter


@pytest.mark.parametrize("words", ALL)
def test_long_names_come_first_and_have_their_short_forms(words: tuple[str, ...]) -> None:
    for parameter in commands()[words].params:
        if isinstance(parameter, click.Option):
            short = SHORT.get(parameter.opts[0])
            assert parameter.opts == [parameter.opts[0], *([short] if short else [])]
            assert "-" not in parameter.opts[0].removeprefix("--"), "messages have underscores"


def _examples(text: str) -> list[list[str]]:
    """The command lines at the end of a help."""
    _, _, examples = re.sub(r" \\\n +", " ", text).rpartition("Example")
    lines = [line.strip() for line in examples.partition("\n")[2].splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("latentbeam ")]


@pytest.mark.parametrize("words", [(), ("explore",), *ALL])
def test_examples_are_command_lines_that_click_accepts(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    found = _examples(_help(words, capsys))
    assert found or words == ("completion",)
    for _, *line in found:
        arguments = line[: line.index(">")] if ">" in line else line
        arguments = repeat_flags(arguments, ("--input", "--set"))
        context: click.Context = click.Context(cli, info_name="latentbeam")
        group: click.Command = cli
        while isinstance(group, click.Group):
            name, group, arguments = group.resolve_command(context, arguments)
            assert group is not None, name
        with group.make_context(str(name), list(arguments), parent=context) as parsed:
            assert parsed.args == []


@pytest.mark.parametrize("arguments", [[], ["explore"]])
def test_a_group_alone_shows_its_help(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run_command(arguments, capsys)
    assert (status, err) == (0, "")
    assert out == _help(tuple(arguments), capsys)


def test_the_top_level_shows_every_command_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = _help((), capsys)
    for group in (cli, cli.commands["explore"]):
        assert isinstance(group, click.Group)
        text = shown if group is cli else _help(("explore",), capsys)
        for name in group.commands:
            (line,) = re.findall(rf"^  {name} +(\S.*)$", text, re.MULTILINE)
            assert line.endswith("."), line
            assert not line.endswith("..."), line


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run_command(["--version"], capsys)
    assert status == 0
    assert re.fullmatch(r"latentbeam, version \d+\.\d+\.\S+\n", out)


@pytest.mark.parametrize("arguments", [["score", "--help"], ["config"], ["completion", "zsh"]])
def test_no_framework_is_imported(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom pipelines.cli import main\n"
        f"try:\n    main({arguments!r})\n"
        "except SystemExit:\n    print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert {"click", "pipelines.cli"} <= loaded
    assert loaded.isdisjoint(FRAMEWORKS)
