"""Every command and program of the pages is run as it stands there, on small data. What cannot run
here is named with its reason; the options of its commands are checked none the less."""

import importlib.util
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.beam.flags import check_beam_flags
from pipelines.cli import cli
from tests.support import page_folders as folders
from tests.support.command import run_command
from tests.support.page_folders import Made
from tests.support.pages import Block, blocks, pages
from tests.support.project import PROJECT

# What is there before a page's first example.
_LAID_OUT: dict[str, Callable[[Made], None]] = {
    "README.md": folders.good_and_new_images,
    "docs/tutorial.md": folders.photographs,
    "docs/explanation/models.md": folders.training_tables,
    "docs/how-to/analytics.md": folders.nothing,
    "docs/how-to/backbone.md": folders.photographs,
    "docs/how-to/calibrate.md": folders.photographs,
    "docs/how-to/classes.md": folders.finished_run,
    "docs/how-to/clusters.md": folders.finished_run,
    "docs/how-to/explore.md": folders.finished_run,
    "docs/how-to/maps.md": folders.defects,
    "docs/how-to/own_score.md": folders.photographs,
    "docs/how-to/photographs.md": folders.photographs,
    "docs/how-to/report.md": folders.finished_run,
    "docs/how-to/resume.md": folders.images_and_bundle,
    "docs/reference/cli.md": folders.finished_run,
    "docs/reference/scores.md": folders.finished_run,
}
# Pages that take half a minute: those that train more than once, and those of every command.
_SLOW = (
    "docs/explanation/models.md",
    "docs/how-to/analytics.md",
    "docs/how-to/backbone.md",
    "docs/how-to/calibrate.md",
    "docs/how-to/clusters.md",
    "docs/how-to/explore.md",
    "docs/how-to/maps.md",
    "docs/how-to/own_score.md",
    "docs/how-to/photographs.md",
    "docs/reference/cli.md",
)
# Pages whose examples do not follow from one another.
_UNRELATED = ("docs/reference/cli.md",)
_TESTED = "run by tests/docs/test_{}_page.py"
_DEMO = "takes minutes: tests/pipelines/commands/test_demo.py"
_ELSEWHERE = "needs another engine or account: tests/engines, tests/pipelines/beam"


class NotRun(NamedTuple):
    """Examples of a page that hold some words, and why they are not run here."""

    page: str
    words: str
    reason: str


_NOT_RUN = (
    NotRun("CONTRIBUTING.md", ".ci/run", "runs these tests"),
    NotRun("deploy/dataflow/README.md", "", _ELSEWHERE),
    NotRun("deploy/flink/README.md", "", _ELSEWHERE),
    NotRun("deploy/slim/README.md", "uv pip", "installs gigabytes: tests/deploy"),
    NotRun("docs/how-to/analytics.md", "CREATE VIEW", _TESTED.format("analytics")),
    NotRun("docs/how-to/analytics.md", "import ", _TESTED.format("analytics")),
    NotRun("docs/how-to/analytics.md", "bq load", "needs an account; the page says it was not run"),
    NotRun("docs/how-to/backbone.md", "keras:ResNet50", "downloads weights"),
    NotRun("docs/how-to/beam.md", "", _TESTED.format("beam")),
    NotRun("docs/how-to/dataflow.md", "", _ELSEWHERE),
    NotRun("docs/how-to/engines.md", "latentbeam", _ELSEWHERE),
    NotRun("docs/how-to/object_stores.md", "", "a store of the tests': tests/transforms/storage"),
    NotRun("docs/how-to/own_score.md", "deviation", _TESTED.format("own_score")),
    NotRun("docs/reference/cli.md", "latentbeam demo", _DEMO),
    NotRun("docs/reference/configuration.md", "kind:", "test_configuration_examples_are_valid"),
)
_NEVER = ("text", "")  # no examples: file trees, output, formulas
_FOLDERS_OF_TESTS = re.compile(r"(?:\.venv/bin/)?python -m pytest (\S+)")


def _reason(block: Block, words: str) -> str | None:
    """Why an example, or a command of it, is not run; None: it is."""
    listed = (entry for entry in _NOT_RUN if entry.page == block.page and entry.words in words)
    return next((entry.reason for entry in listed), None)


def _examples(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language not in _NEVER]


def _commands(text: str) -> Iterator[str]:
    """The commands of a shell's block, a line each."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            evaluated = re.match(r'eval "\$\((.*?)\)"', line.strip())
            yield evaluated[1] if evaluated else line.strip().removeprefix("$ ")


def _parameters() -> Iterator[object]:
    for page in pages():
        name = page.relative_to(PROJECT).as_posix()
        if any(block.language in ("sh", "python") for block in _examples(page)):
            marks = [pytest.mark.slow] if name in _SLOW else []
            yield pytest.param(page, id=name, marks=marks)


@pytest.mark.parametrize("page", list(_parameters()))
def test_the_examples_of_a_page_run(
    page: Path,
    bundle: Callable[[str], Path],
    digits_run: Callable[..., Path],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = page.relative_to(PROJECT).as_posix()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    lay_out = _LAID_OUT.get(name, folders.nothing)
    lay_out(Made(bundle, digits_run, tmp_path_factory))
    for block in _examples(page):
        if name in _UNRELATED:
            folder = tmp_path / str(block.line)
            folder.mkdir()
            monkeypatch.chdir(folder)
            lay_out(Made(bundle, digits_run, tmp_path_factory))
        if block.language == "sh":
            for command in _commands(block.text):
                _run(block, command, capsys)
        elif block.language == "python" and _reason(block, block.text) is None:
            for output in re.findall(r'WriteScores\("([^"]+)"', block.text):
                _make_way(output)
            exec(compile(block.text, block.place, "exec"), {"__name__": "__main__"})
    if name == "docs/tutorial.md":
        _assert_as_the_tutorial_says()


def _assert_as_the_tutorial_says() -> None:
    assert pq.read_table("clusters/clusters").num_rows == 220
    for name in ("reconstructions.png", "where.png"):
        with Image.open(name) as picture:
            assert picture.width > 300
    assert "scratched/" in Path("report.html").read_text()


def _run(block: Block, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One command, or as much of it as can be tried here."""
    words = shlex.split(command, comments=True)
    if words[0] == "latentbeam":
        if _reason(block, command) is None:
            _run_latentbeam(block, words[1:], capsys)
        else:
            _check_options(words[1:])
    elif words[:2] == ["mkdir", "-p"]:
        Path(words[2]).expanduser().mkdir(parents=True, exist_ok=True)
    elif words[0] == "make":
        makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
        targets = [word for word in words[1:] if "=" not in word]
        assert [t for t in targets if not re.search(rf"^{t}:", makefile, re.MULTILINE)] == []
    elif words[0] == "pip":
        _check_requirement(words[-1])
    elif tests := _FOLDERS_OF_TESTS.match(command):
        assert (PROJECT / tests[1]).exists()
    elif words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]) is not None
    else:
        assert _reason(block, command) is not None, f"{block.place}: {command}"


def _run_latentbeam(block: Block, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Runs a command, quickly. What an earlier example of the page wrote makes way."""
    target = None
    if ">" in arguments:
        target = Path(arguments[-1]).expanduser()
        arguments = arguments[: arguments.index(">")]
    output = next(
        (arguments[n + 1] for n, a in enumerate(arguments) if a in ("--output", "-o")), ""
    )
    if output and "--resume" not in arguments:
        _make_way(output)
    more = _quickly(block.page, arguments) if arguments[0] == "train" else []
    status, out, err = run_command([*arguments, *more], capsys)
    assert status == 0, f"{block.place}: {shlex.join(arguments)}\n{err}"
    if target is not None:
        target.write_text(out, encoding="utf-8")


def _quickly(page: str, arguments: Sequence[str]) -> list[str]:
    more = ["--epochs", "1", "--set", "model.network=dense"]
    if "vae" in arguments:
        more += ["--set", "model.noise_samples=2"]
    if any(argument.startswith("image.tile") for argument in arguments):
        more += ["--set", "image.tile=32", "--set", "image.overlap=8"]
    if page == "docs/how-to/photographs.md":
        more += ["--set", "features.size=96"]
    elif "--features" not in arguments:
        more += ["--features", "none"]
    return more


def _make_way(output: str) -> None:
    path = Path(output.rstrip("/"))
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _check_options(arguments: list[str]) -> None:
    """That there are such options, of latentbeam or of Beam, and that their values can be read."""
    command: click.Command = cli
    while isinstance(command, click.Group):
        name, *arguments = arguments
        command = command.commands[name]
    context = command.make_context(name, arguments)
    with context:
        check_beam_flags(context.args, command.params)


def _check_requirement(requirement: str) -> None:
    """That what is installed is this project, and its extras are there."""
    found = re.fullmatch(r"(?:latentbeam|\.)(?:\[([\w,-]+)\])?", requirement)
    assert found is not None, requirement
    with (PROJECT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    assert set(filter(None, (found[1] or "").split(","))) <= extras.keys()


def test_every_example_is_run_or_listed() -> None:
    """Of a language that nothing here runs, such as SQL, all are listed."""
    other = [b for page in pages() for b in _examples(page) if b.language not in ("sh", "python")]
    assert [block.place for block in other if _reason(block, block.text) is None] == []


def test_what_is_listed_is_there() -> None:
    texts: dict[str, str] = {}
    for page in pages():
        name = page.relative_to(PROJECT).as_posix()
        texts[name] = "".join(block.text for block in blocks(page))
    assert [entry for entry in _NOT_RUN if entry.words not in texts.get(entry.page, "")] == []
    assert [name for name in (*_LAID_OUT, *_SLOW) if name not in texts] == []


def test_options_in_transcripts_are_there() -> None:
    """Pages show commands with what they print, in states that other tests bring about."""
    for page in pages():
        for block in blocks(page):
            for line in re.findall(r"^\$ latentbeam (.*)$", block.text, re.MULTILINE):
                _check_options(shlex.split(line))
