"""Beam options that may be secrets appear neither in files nor in output."""

import argparse
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from ae_models.errors import ConfigError, TooManyRejectsError
from pipelines.beam import flags
from pipelines.beam.flags import check_beam_flags
from pipelines.beam.recorded import NOT_RECORDED, RECORDED, recorded
from pipelines.beam.run import described_options, pipeline_options
from pipelines.cli import main
from pipelines.commands.relabel import relabel
from pipelines.commands.score import score
from pipelines.console.concealed import conceal
from pipelines.report.command import report
from tests.support.command import run_command

_MARK = "SECRET"
# Texts that Beam accepts unchanged, and that name a place, a kind of machine or an accelerator.
_FREE_TEXTS = {
    *("disk_type", "environment_cache_millis", "environment_type", "machine_type"),
    *("min_cpu_platform", "region", "resource_hints", "runner", "s3_region_name"),
    *("sdk_worker_parallelism", "worker_region", "worker_zone", "zone", "dry_run"),
}
# Options that Beam refuses if the value is a marker, or with which nothing would run here.
_REFUSED = {
    *("beam_services", "direct_test_splits", "gbek", "gcs_custom_audit_entries"),
    *("on_success_matcher", "prebuild_sdk_container_base_image"),
    *("sdk_harness_log_level_overrides", "template_location", "transform_name_mapping"),
    *("type_check_additional", "update_compatibility_version"),
}


@pytest.fixture(autouse=True)
def _nothing_concealed_afterwards() -> Iterator[None]:
    yield
    conceal({})


def _actions() -> list[argparse.Action]:
    parser = flags._Parser()
    for options in flags._all_subclasses(PipelineOptions):
        if "_add_argparse_args" in vars(options):
            options._add_argparse_args(parser)
    return parser._actions


def _is_text(action: argparse.Action) -> bool:
    return action.nargs != 0 and action.type not in (int, float) and not action.choices


def _secret_flags() -> dict[str, str]:
    """Every option that takes a text and is not on the list, with a text that shows where it came
    from."""
    return {
        action.dest: f"{action.option_strings[-1]}={_MARK}-{action.dest}"
        for action in _actions()
        if _is_text(action) and action.dest not in RECORDED
    }


def test_the_list_names_options_that_beam_has_and_few_that_take_any_text() -> None:
    actions = {action.dest: action for action in _actions()}
    assert set(actions) >= RECORDED
    assert {name for name in RECORDED if _is_text(actions[name])} == _FREE_TEXTS


def test_of_all_options_that_beam_has_the_values_of_the_list_alone_are_described() -> None:
    names = PipelineOptions([]).get_all_options()
    assert {"s3_secret_access_key", "azure_connection_string", "environment_config"} <= set(names)
    given: dict[str, object] = {name: f"{_MARK}-{name}" for name in names}
    found = described_options(PipelineOptions([], **given))
    assert {name for name, value in found.items() if _MARK in json.dumps(value)} == RECORDED
    assert set(found) == set(names)
    assert {found[name] for name in set(names) - RECORDED} == {NOT_RECORDED}


def test_an_option_that_nobody_knows_counts_as_a_secret() -> None:
    assert recorded({"of_a_later_beam": _MARK}) == {"of_a_later_beam": NOT_RECORDED}
    assert recorded({"resource_hints": [object()], "parallelism": 3}) == {
        "resource_hints": NOT_RECORDED,
        "parallelism": 3,
    }


def _written(folder: Path) -> str:
    """All bytes of all files, and the contents of the Parquet files among them."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.append(f"{path}\n{path.read_bytes().decode('latin-1')}")
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            found.append(f"{table.schema}\n{table.to_pylist()}")
    return "\n".join(found)


def test_a_run_with_every_option_that_may_be_a_secret_tells_none(
    bundle: Callable[[str], Path],
    image_folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A run that is resumed, stopped by its reject limit, relabelled and reported."""
    caplog.set_level(logging.INFO)
    left_out = {*_REFUSED, "worker_harness_container_image"}  # as sdk_container_image is given
    secret = [flag for name, flag in _secret_flags().items() if name not in left_out]
    assert len(secret) > 50
    model, out = str(bundle("ae")), tmp_path / "out"
    run = str(out / "run")
    whole = score([str(image_folder)], model, run, beam_flags=[*secret, "--direct_num_workers=1"])
    again = score([str(image_folder)], model, run, beam_flags=secret, resume=True)
    assert again == whole
    score([str(image_folder)], model, str(out / "b"), beam_flags=secret, checkpoint_every=20)
    for every in (None, 20):
        with pytest.raises(TooManyRejectsError):
            score(
                [str(image_folder)],
                model,
                str(out / f"failed-{every}"),
                beam_flags=secret,
                max_rejects=0,
                checkpoint_every=every,
            )
    relabel(run, str(out / "relabelled"), fpr=0.2)
    page = report(run, model, str(out / "page.html"), inputs=[str(image_folder)])
    assert page["records"] == 40

    options = json.loads((out / "run" / "run.json").read_text())["options"]
    assert options["s3_secret_access_key"] == options["azure_connection_string"] == NOT_RECORDED
    assert options["runner"] == "FnApiRunner"
    failed = json.loads((out / "failed-None" / "failed.json").read_text())
    assert failed["options"] == options
    printed = capfd.readouterr()
    for text in (_written(out), printed.out, printed.err, caplog.text):
        assert _MARK not in text
    assert NOT_RECORDED in (out / "page.html").read_text()


@pytest.mark.long
def test_worker_processes_tell_no_secret(
    bundle: Callable[[str], Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    command = ["score", "--input", "builtin:digits", "--model", str(bundle("ae"))]
    command += ["--output", str(tmp_path / "run"), "--direct_running_mode=multi_processing"]
    secret = [f"--{name}={_MARK}-{name}" for name in ("s3_secret_access_key", "experiments")]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--direct_num_workers=2", *secret])
    assert ended.value.code == 0
    printed = capfd.readouterr()
    assert _MARK not in printed.out + printed.err + _written(tmp_path)


def test_a_run_of_a_release_that_recorded_everything_hands_no_secret_on(
    digits_run: Callable[..., Path],
    bundle: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    for path in digits_run("ae").iterdir():
        (old / path.name).symlink_to(path)
    ledger = json.loads((old / "run.json").read_text())
    ledger["options"] = {"runner": "FnApiRunner", "s3_secret_access_key": f"{_MARK}-old"}
    (old / "run.json").unlink()
    (old / "run.json").write_text(json.dumps(ledger))
    relabel(str(old), str(tmp_path / "new"), fpr=0.2)
    report(str(old), str(bundle("ae")), str(tmp_path / "page.html"))
    assert _MARK not in (tmp_path / "new" / "run.json").read_text()
    assert _MARK not in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("name", sorted(_REFUSED))
def test_a_value_that_beam_refuses_is_not_repeated(
    name: str,
    bundle: Callable[[str], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["score", "--input", "builtin:digits", "--model", str(bundle("ae"))]
    command += ["--output", str(tmp_path / "run"), _secret_flags()[name]]
    status, out, err = run_command(command, capsys)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert _MARK not in err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([f"--s3_secret_access_kye={_MARK}"], "did you mean '--s3_secret_access_key'?"),
        (["--s3_secret_access_kye", _MARK], "did you mean '--s3_secret_access_key'?"),
        (["--s3_secret_access_key", "a", _MARK], "argument after --s3_secret_access_key"),
        (["--s3_session_token", f"-{_MARK}"], "--s3_session_token: expected one argument"),
        ([f"--gcs_custom_audit_entry={_MARK * 20}"], "one of Beam's flags cannot be used"),
        (["--sdk_harness_log_level_overrides=[1]"], "sdk_harness_log_level_overrides"),
        ([f"--direct_test_splits={'[' * 100_000}"], "--direct_test_splits"),
    ],
)
@pytest.mark.parametrize("command", ["score", "train", "cluster", "classify"])
def test_flags_that_cannot_be_used_are_named_without_their_values(
    given: list[str],
    message: str,
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = {"score": str(tmp_path), "train": "ae"}
    source = ["--input", "builtin:digits", "--model", model[command]] if command in model else []
    source = source or ["--scores", str(tmp_path)]
    status, _, err = run_command([command, *source, "--output", "o", *given], capsys)
    assert (status, err.count("\n")) == (2, 1)
    assert message in err
    assert _MARK not in err


def test_python_refuses_flags_that_beam_does_not_know_as_the_command_does() -> None:
    with pytest.raises(ConfigError, match="unknown flag --s3_secret; did you mean"):
        pipeline_options([f"--s3_secret={_MARK}"])


def test_errors_and_logs_that_quote_a_secret_are_printed_with_the_flag_s_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For example, the address that cannot be reached, with its password."""
    secret = f"http://user:{_MARK}@localhost:1"
    command = ["score", "--input", "builtin:digits", "--output", str(tmp_path / "run")]
    command += ["--model", secret, f"--s3_endpoint_url={secret}"]
    status, _, err = run_command(command, capsys)
    assert status == 2
    assert "(--s3_endpoint_url)" in err
    assert _MARK not in err


@pytest.mark.parametrize("breakage", ["no hook", "hook of another kind"])
def test_a_beam_without_its_private_hook_is_asked_itself(
    breakage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if breakage == "no hook":
        monkeypatch.setattr(flags, "_HOOK", "_add_argparse_args_of_old")
    else:
        monkeypatch.setattr(flags._Parser, "add_argument", lambda self: None)
    check_beam_flags(["--direct_num_workers=2", "--s3_secret_access_key", "x"])
    with pytest.raises(ConfigError, match="unknown flag --direct_num_worker; did you mean"):
        check_beam_flags(["--direct_num_worker=2"])
    with pytest.raises(ConfigError, match=r"--transform_name_mapping: this value cannot be used"):
        check_beam_flags([f"--transform_name_mapping={_MARK}"])
