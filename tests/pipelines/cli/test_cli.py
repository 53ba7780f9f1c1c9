"""The command: what it prints, where, and with which exit status."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.cli import cli, main
from pipelines.cli.entry import repeat_flags
from tests.support.command import run_command
from transforms.sources.options import FORMATS, ReadOptions

Bundles = Callable[[str], Path]


def _without_image(folder: Path) -> str:
    pq.write_table(pa.table({"picture": ["x"], "label": [1]}), folder / "none.parquet")
    return str(folder / "none.parquet")


def _empty_folder(folder: Path) -> str:
    (folder / "empty").mkdir()
    return str(folder / "empty")


def _no_npz(folder: Path) -> str:
    (folder / "bad.npz").write_bytes(b"no archive")
    return f"{folder / 'bad.npz'}#test"


def _missing_array(folder: Path) -> str:
    np.savez(folder / "a.npz", x_train=np.zeros((3, 8, 8), np.uint8))
    return f"{folder / 'a.npz'}#test"


def _floats(folder: Path) -> str:
    np.savez(folder / "f.npz", x=np.zeros((3, 8, 8)))
    return str(folder / "f.npz")


@pytest.mark.parametrize(
    ("make_input", "message"),
    [
        (_without_image, r"none\.parquet: no 'image' column.*picture: string, label: int64"),
        (_empty_folder, r"no input found in .*empty"),
        (lambda folder: str(folder / "nowhere"), "no such file or folder: .*nowhere"),
        (lambda folder: str(folder / "*.png"), "no files match"),
        (_no_npz, "cannot read .*bad.npz"),
        (_missing_array, "no array 'x_test' .*did you mean .*#train"),
        (_floats, "pixels must be uint8 or uint16. Received: float64"),
        (lambda folder: "builtin:letters", "unknown embedded data 'builtin:letters'"),
    ],
)
def test_an_input_that_cannot_be_used_is_one_line_and_status_2(
    make_input: Callable[[Path], str],
    message: str,
    bundle: Bundles,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri = make_input(tmp_path)
    output = tmp_path / "run"
    arguments = ["score", "--input", uri, "--model", str(bundle("ae")), "--output", str(output)]
    status, out, err = run_command(arguments, capsys)
    assert (status, out) == (2, "")
    assert re.fullmatch(f"latentbeam: .*{message}.*\n", err)
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "--modle", "m"], "--modle"),
        (["train", "--model", "gan"], "gan"),
        (["score", "--fpr", "2"], "2"),
        (["skore"], "skore"),
    ],
)
def test_click_names_a_flag_that_is_wrong(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = ["--input", "builtin:digits", "--output", "o"] if len(arguments) > 1 else []
    status, out, err = run_command([*arguments, *extra], capsys)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err or "--model" in err


def test_choices_are_named_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "--input", "builtin:digits", "--output", "o"]
    status, _, err = run_command(arguments, capsys)
    assert status == 2
    assert err == "latentbeam: Missing option '--model'. Choose from: ae, dae, vae\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--overwite"], "unknown flag --overwite; did you mean '--overwrite'?"),
        (["--direct_num_worker=2"], "did you mean '--direct_num_workers'?"),
        (["--zzzzqqq=1"], "unknown flag --zzzzqqq\n"),
        (["stray"], "unexpected argument 'stray'"),
        (["--runner=DaskRunner"], "DaskRunner loses records"),
        (["--runner=dask"], "DaskRunner loses records"),
        (["--where", "lable=1"], "no column 'lable'; did you mean 'label'?"),
        (
            ["--where", "label=one"],
            "values of column 'label' must be of type int64. Received: 'one'",
        ),
        (["--where", "label"], "expected COLUMN=VALUE"),
    ],
)
def test_a_flag_that_cannot_be_used_is_named(
    flags: list[str],
    message: str,
    bundle: Bundles,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["score", "--input", "builtin:digits", "--model", str(bundle("ae"))]
    status, _, err = run_command([*arguments, "--output", str(tmp_path / "run"), *flags], capsys)
    assert status == 2
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["model.latnt_dim=3"], "unknown key 'latnt_dim' in model; did you mean 'latent_dim'?"),
        (["model.latent_dim=0"], "model.latent_dim must be at least 1. Received: 0"),
        (["model.latent_dim=many"], "model.latent_dim must be of type int. Received: 'many'"),
        (["latent_dim=3"], "--set takes SECTION.KEY=VALUE"),
        (["scoring.primary=kl"], "scoring.primary must be one of"),
        (["image.fit=squash"], "image.fit must be one of pad, crop, stretch. Received: 'squash'"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_named(
    settings: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "--input", "builtin:digits", "--model", "ae"]
    arguments += ["--output", str(tmp_path / "m"), "--set", *settings]
    status, _, err = run_command(arguments, capsys)
    assert status == 2
    assert message in err
    assert not (tmp_path / "m").exists()


def test_a_bundle_with_one_byte_changed_is_refused(
    bundle: Bundles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(bundle("ae"), changed)
    data = bytearray((changed / "model.keras").read_bytes())
    data[100] ^= 1
    (changed / "model.keras").write_bytes(data)
    for command in (
        ["score", "--input", "builtin:digits", "--model", str(changed), "--output", str(tmp_path)],
        ["inspect", str(changed)],
    ):
        status, out, err = run_command(command, capsys)
        assert (status, out) == (2, "")
        assert err.endswith("model.keras was changed since the bundle was written\n")


def test_a_huge_image_header_is_a_reject(bundle: Bundles, tmp_path: Path) -> None:
    # A real header of 20,000 x 20,000: one bit a pixel keeps the file small.
    (tmp_path / "in").mkdir()
    Image.new("1", (20_000, 20_000)).save(tmp_path / "in" / "huge.png")
    Image.new("L", (8, 8)).save(tmp_path / "in" / "fine.png")
    arguments = ["score", "--input", str(tmp_path / "in"), "--model", str(bundle("ae"))]
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, "--output", str(tmp_path / "run")])
    assert exit_.value.code == 0
    (reject,) = pq.read_table(tmp_path / "run" / "rejects").to_pylist()
    assert (reject["id"], reject["reason"]) == ("huge.png", "too_large")
    assert pq.read_table(tmp_path / "run" / "scores").num_rows == 1


def test_score_evaluate_verify_and_inspect_give_json(
    bundle: Bundles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, model = str(tmp_path / "run"), str(bundle("vae"))
    commands = {
        "score": ["--input", "builtin:digits", "--model", model, "--output", run],
        "evaluate": ["--scores", run, "--anomalous", "label=0"],
        "verify": ["--scores", run, "--input", "builtin:digits"],
        "inspect": [model],
    }
    results = {}
    for name, arguments in commands.items():
        status, out, _ = run_command([name, *arguments, "--json"], capsys)
        assert status == 0
        results[name] = json.loads(out)
    assert results["score"]["records"]["scored"] == 1797
    assert results["evaluate"]["anomalous"] == 178
    assert results["verify"]["ok"] is True
    assert results["inspect"]["fingerprint"] == results["score"]["model"]["fingerprint"]


def test_verify_fails_with_status_1_where_a_record_is_missing(
    bundle: Bundles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    arguments = ["--input", "builtin:digits", "--model", str(bundle("ae")), "--output", run]
    run_command(["score", *arguments, "--where", "label=1"], capsys)
    np.savez(tmp_path / "other.npz", x=np.zeros((2, 8, 8), np.uint8), y=np.array([1, 1]))
    status, out, _ = run_command(
        ["verify", "--scores", run, "--input", f"{tmp_path}/other.npz"], capsys
    )
    assert status == 1
    assert "2 missing records, such as other.npz#0, other.npz#1" in out


def test_evaluate_needs_both_kinds(
    bundle: Bundles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    arguments = ["--input", "builtin:digits", "--model", str(bundle("ae")), "--output", run]
    run_command(["score", *arguments], capsys)
    status, _, err = run_command(["evaluate", "--scores", run, "--anomalous", "label=11"], capsys)
    assert status == 2
    assert "evaluation needs normal and anomalous records" in err


def test_one_flag_takes_several_values() -> None:
    given = ["score", "--input", "a", "b", "c", "--model", "m", "--where", "x=1", "y=2"]
    assert repeat_flags(given, ("--input", "--where")) == [
        *("score", "--input", "a", "--input", "b", "--input", "c"),
        *("--model", "m", "--where", "x=1", "--where", "y=2"),
    ]


def test_help_has_an_example_and_stderr_is_clean(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines.cli"]
    shown = subprocess.run(
        [*command, "score", "--help"], capture_output=True, text=True, check=True
    )
    assert "latentbeam score --input images/" in shown.stdout
    missing = [*command, "inspect", str(tmp_path / "none")]
    failed = subprocess.run(missing, capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert failed.stderr == (
        f"latentbeam: no such model bundle: {tmp_path / 'none'}; give the folder that train wrote\n"
    )


def test_reading_flags_are_the_fields_of_their_options() -> None:
    """The flags are written out, as `--help` imports no transforms."""
    flags = {option.name: option for option in cli.commands["score"].params}
    fields = dataclasses.fields(ReadOptions)
    assert {field.name for field in fields} <= flags.keys()
    assert tuple(flags["format"].type.choices) == FORMATS
