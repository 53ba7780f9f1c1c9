"""Runs over inputs that are not read completely: what was passed over is counted and named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from PIL import Image

from ae_models.errors import EmptyRunError, InputError, TooManyRejectsError
from pipelines.cli import main
from pipelines.commands.relabel import relabel
from pipelines.commands.score import score
from pipelines.commands.train import train, train_configuration
from pipelines.commands.verify import verify
from transforms.records.passed_over import Cause
from transforms.results.passed_over import passed_over_names

Bundles = Callable[[str], Path]


@pytest.fixture
def linked(image_folder: Path) -> Path:
    """`image_folder` with a third of its digits behind a link that leads out, and more."""
    elsewhere = image_folder.parent / "elsewhere"
    (image_folder / "0").rename(elsewhere)
    (image_folder / "0").symlink_to("../elsewhere")
    (image_folder / ".thumbs").mkdir()
    (image_folder / "a.tmp").touch()
    return image_folder


COUNTS = {"hidden": 1, "other_kind": 1, "link": 1, "excluded": 1}


def _score(inputs: Path, bundle: Path, run: Path, **options: Any) -> dict[str, Any]:
    reading = {"exclude": ["*.tmp"], **options.pop("reading", {})}
    return score([str(inputs)], str(bundle), str(run), reading=reading, **options)


def test_a_run_counts_and_names_what_it_passed_over(
    bundle: Bundles, linked: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run, again, parts = (str(tmp_path / name) for name in ("run", "again", "parts"))
    ledger = _score(linked, bundle("ae"), Path(run))
    assert ledger["passed_over"] == COUNTS
    assert ledger["files_passed_over"] == 4
    assert "warning: 1 links lead out of the inputs" in capfd.readouterr().err
    rows = duckdb.sql(f"SELECT cause, name FROM '{run}/passed_over/*.parquet'").fetchall()
    assert rows == [
        ("hidden", f"{linked}/.thumbs"),
        ("other_kind", f"{linked}/readme.txt"),
        ("link", f"{linked}/0"),
        ("excluded", f"{linked}/a.tmp"),
    ]
    assert passed_over_names(run, Cause.LINK) == [f"{linked}/0"]
    assert relabel(run, again, fpr=0.2)["passed_over"] == COUNTS
    assert passed_over_names(again, Cause.LINK) == [f"{linked}/0"]
    for folder in (run, again):
        found = verify(folder, [str(linked)])
        assert (found["ok"], found["passed_over"]) == (True, COUNTS)
    divided = _score(linked, bundle("ae"), Path(parts), checkpoint_every=10)
    assert divided["passed_over"] == COUNTS
    assert passed_over_names(parts, Cause.LINK) == [f"{linked}/0"]

    (linked / "1.txt").touch()
    (linked / "0").unlink()
    assert verify(run, [str(linked)])["problems"] == [
        f"passed over as other_kind: 2 now, such as {linked}/1.txt, 1 in the run",
        "passed over as link: 0 now, 1 in the run",
    ]


def test_links_are_followed_where_that_is_asked_for(
    bundle: Bundles, linked: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ledger = _score(linked, bundle("ae"), run, reading={"follow_links": True})
    assert "link" not in ledger["passed_over"]
    assert ledger["records"]["read"] == 44
    assert verify(str(run), [str(linked)])["ok"]
    with pytest.raises(SystemExit) as ended:
        main(["verify", "--scores", str(run), "--input", str(linked), "--exclude", "0"])
    assert ended.value.code == 1


def test_the_command_says_what_it_passed_over(
    bundle: Bundles, linked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    arguments = ["--input", str(linked), "--model", str(bundle("ae")), "--output", run]
    with pytest.raises(SystemExit) as ended:
        main(["score", *arguments, "--exclude", "*.tmp", "--exclude", "bad/"])
    assert ended.value.code == 0
    told = "passed over: 1 hidden, 1 other_kind, 1 link, 2 excluded"
    assert f"{told}; listed in passed_over/" in capsys.readouterr().out.splitlines()
    with pytest.raises(SystemExit):
        main(["verify", "--scores", run, "--input", str(linked)])
    assert f"{told} in the run" in capsys.readouterr().out.splitlines()


def test_train_names_the_links_that_leave_it_too_few_records(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    inputs, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    for folder in (inputs, elsewhere):
        folder.mkdir()
        for number in range(15):
            Image.new("L", (8, 8), number).save(folder / f"{number}.png")
    (inputs / "more").symlink_to(elsewhere)
    with pytest.raises(InputError, match="too few records to train on: 15"):
        train([str(inputs)], train_configuration("ae"), str(tmp_path / "m"))
    assert f"(--follow_links follows those that lead out): {inputs}/more" in capfd.readouterr().err


def test_a_folder_of_links_alone_says_how_to_read_them(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.png").symlink_to(f"../store/{number}")
    with pytest.raises(
        InputError,
        match=r"no input found in .*links that lead out of it or are broken: 3; --follow_links",
    ):
        train([str(tmp_path / "in")], train_configuration("ae"), str(tmp_path / "bundle"))


@pytest.mark.parametrize("checkpoint_every", [None, 2])
def test_a_run_whose_records_are_all_rejected_fails_unless_that_is_allowed(
    bundle: Bundles, image_folder: Path, tmp_path: Path, checkpoint_every: int | None
) -> None:
    bad, run = image_folder / "bad", tmp_path / "run"
    options = {"checkpoint_every": checkpoint_every}
    with pytest.raises(
        TooManyRejectsError, match=r"all 4 records were rejected .*100% allows this"
    ):
        _score(bad, bundle("ae"), run, **options)
    failed = json.loads((run / "failed.json").read_text())
    assert failed["records"]["rejected"] == len(failed["examples"]) == 4
    assert failed["max_rejects"] == "not all"
    assert not (run / "_SUCCESS").exists()
    options["overwrite"] = True
    with pytest.raises(EmptyRunError, match=r"no record was scored: 4 were read; see failed"):
        _score(bad, bundle("ae"), run, max_rejects="100%", fail_if_empty=True, **options)
    ledger = _score(bad, bundle("ae"), run, max_rejects="100%", **options)
    assert ledger["records"]["scored"] == 0
    assert not (run / "failed.json").exists()


def test_a_run_that_reads_nothing_warns_and_fails_if_asked_to(
    bundle: Bundles, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--input", "builtin:digits", "--where", "label=11", "--model", str(bundle("ae"))]
    arguments += ["--output", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as ended:
        main(["score", *arguments, "--fail_if_empty"])
    assert ended.value.code == 1
    assert "no record was scored: 0 were read" in capfd.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["score", *arguments])
    assert ended.value.code == 0
    assert "warning: no record was scored" in capfd.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["score", *arguments, "--fail_if_empty", "--resume"])
    assert ended.value.code == 1
