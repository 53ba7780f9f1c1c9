"""Short options, and hyphens beside underscores: names may be written in both ways, values stay."""

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from pipelines.beam.flags import check_beam_flags
from pipelines.cli import cli
from pipelines.cli.command import with_underscores
from pipelines.cli.entry import repeat_flags
from pipelines.cli.options import beam_flags
from tests.support.command import run_command

Bundles = Callable[[str], Path]


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--max-rejects", "--max_rejects"),
        ("--max-rejects=a-b--c", "--max_rejects=a-b--c"),
        ("--flink_master=h-1:80", "--flink_master=h-1:80"),
        ("a-b", "a-b"),
        ("-a-b", "-a-b"),
        ("--", "--"),
    ],
)
def test_the_name_of_a_flag_gets_underscores_and_nothing_else(flag: str, expected: str) -> None:
    assert with_underscores(flag) == expected


def _parsed(command: str, arguments: list[str]) -> click.Context:
    context = click.Context(cli, info_name="latentbeam", **cli.context_settings)
    return cli.commands[command].make_context(command, arguments, parent=context)


def test_short_options_are_the_long_ones() -> None:
    arguments = repeat_flags(["-i", "a-1", "b", "-m", "x", "-o", "out-1"], ("--input", "-i"))
    short = _parsed("score", arguments)
    long = ["--input", "a-1", "--input", "b", "--model", "x", "--output", "out-1"]
    assert short.params == _parsed("score", long).params
    assert short.params["inputs"] == ("a-1", "b")
    assert short.args == []


def test_hyphens_stand_for_underscores_in_names_alone() -> None:
    given = ["--map-format=png", "--max-rejects", "1%", "--where", "a-b=c-d", "--exclude=x-y/**"]
    found = _parsed("score", ["-i", "in-1", "-m", "b-1", "-o", "r-1", *given])
    assert found.params["map_format"] == "png"
    assert found.params["max_rejects"] == "1%"
    assert found.params["where"] == ("a-b=c-d",)
    assert found.params["exclude"] == ("x-y/**",)
    assert found.params["inputs"] == ("in-1",)
    assert (found.params["model"], found.params["output"]) == ("b-1", "r-1")


@pytest.mark.parametrize(
    ("given", "passed_on"),
    [
        (["--flink-master=a-b:1"], ["--flink_master=a-b:1"]),
        (["--flink-master", "a-b"], ["--flink_master", "a-b"]),
        (["--direct_num_workers=2"], ["--direct_num_workers=2"]),
        (["--dry-run"], ["--dry_run=True"]),
        (["--dry_run"], ["--dry_run=True"]),
        (["--dry-run=True"], ["--dry_run=True"]),
        (["--dry_run=false"], []),
        (["--dry-run", "--parallelism", "3"], ["--dry_run=True", "--parallelism", "3"]),
    ],
)
def test_beam_gets_its_own_spelling(given: list[str], passed_on: list[str]) -> None:
    with _parsed("score", ["-i", "a", "-m", "b", "-o", "c", *given]) as context:
        assert beam_flags(context) == passed_on


def test_every_flag_of_beam_can_be_written_with_underscores() -> None:
    check_beam_flags(["--job_server_timeout=3"])  # the only one that Beam spells with hyphens too
    check_beam_flags(["--job-server-timeout=3"])


def test_errors_name_the_underscored_form(capsys: pytest.CaptureFixture[str]) -> None:
    required = ["-i", "a", "-m", "b", "-o", "c"]
    status, _, err = run_command(["score", *required, "--map-format=gif"], capsys)
    assert status == 2
    assert err.startswith("latentbeam: Invalid value for '--map_format': 'gif' is not one of")
    status, _, err = run_command(["score", *required, "--max-reject=1"], capsys)
    assert (status, err) == (
        2,
        "latentbeam: unknown flag --max_reject; did you mean '--max_rejects'?\n",
    )
    status, _, err = run_command(["verify", "--scores", "r", "-i", "a", "--id-colum=x"], capsys)
    assert status == 2
    assert "--id_column" in err


def test_a_dry_run_checks_and_writes_nothing(
    bundle: Bundles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    line = ["score", "-i", "builtin:digits", "-m", str(bundle("ae")), "-o", str(run), "--dry-run"]
    status, out, err = run_command(line, capsys)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert (
        lines[0] == "dry run: inputs, bundle and options can be used; nothing was scored or written"
    )
    assert f"run: {run}" in lines
    assert any(line.startswith("flagged: p_value <= 0.05, from the score ") for line in lines)
    status, out, _ = run_command([*line, "--checkpoint_every=1000", "--resume", "--json"], capsys)
    assert status == 0
    found = json.loads(out)
    assert (found["job"]["state"], found["job"]["id"]) == ("checked", None)
    assert found["inputs"] == ["builtin:digits"]
    assert not run.exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--where", "lable=1"], "no column 'lable'"),
        (["--input", "nowhere.png"], "nowhere.png"),
        (["--primary", "nothing"], "nothing"),
        (["--max-rejects", "many"], "many"),
        (["--outputs", "latent"], "latent"),
    ],
)
def test_a_dry_run_finds_what_cannot_be_used(
    flags: list[str],
    message: str,
    bundle: Bundles,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = ["score", "-i", "builtin:digits", "-m", str(bundle("ae")), "-o", str(tmp_path / "run")]
    status, out, err = run_command([*line, "--dry-run", *flags], capsys)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not (tmp_path / "run").exists()


def test_a_dry_run_sees_an_output_that_is_taken(
    bundle: Bundles, digits_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(digits_run("ae"))
    line = ["score", "-i", "builtin:digits", "-m", str(bundle("ae")), "-o", run, "--dry-run"]
    status, out, err = run_command(line, capsys)
    assert (status, out) == (2, "")
    assert "--overwrite" in err
    assert run_command([*line, "--overwrite"], capsys)[0] == 0
    assert (Path(run) / "_SUCCESS").exists()


@pytest.mark.parametrize(
    "line",
    [
        ["train", "-i", "builtin:digits", "-m", "ae", "-o", "{}/new"],
        ["cluster", "--scores", "{}", "-o", "{}-new"],
        ["classify", "--scores", "{}", "-o", "{}-new"],
    ],
)
def test_other_commands_refuse_a_dry_run(
    line: list[str], digits_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(digits_run("ae"))
    arguments = [word.replace("{}", run) for word in line]
    status, out, err = run_command([*arguments, "--dry-run"], capsys)
    assert (status, out) == (2, "")
    assert "leave out --dry_run" in err
