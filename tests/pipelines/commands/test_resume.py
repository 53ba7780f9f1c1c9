"""Runs in parts: work done before a crash is kept, and the result is that of a single run."""

import io
import itertools
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from ae_models.errors import ConfigError, InputError, OutputError
from pipelines.commands import score_in_parts
from pipelines.commands.score import score
from pipelines.commands.verify import verify
from tests.support import object_store
from tests.support.failing_changes import Dies
from tests.support.killed import kill, parts_done
from transforms.runs import finish as finish_module
from transforms.runs.ledger import read_ledger

Bundles = Callable[[str], Path]
FILES, GROUPS, ROWS = 3, 2, 20
EVERY = 30  # two row groups, and so one file, a part


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray((pixels * 15).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _write_file(path: Path, first: int) -> None:
    numbers = range(first, first + GROUPS * ROWS)
    digits = load_digits()
    images = [_png(digits.images[number]) for number in numbers]
    images[3], images[ROWS] = b"no image", b""
    table = pa.table(
        {
            "id": [f"r{number:05d}" for number in numbers],
            "image": images,
            "label": digits.target[first : first + len(images)],
            "file": [path.stem] * len(images),
        }
    )
    pq.write_table(table, path, row_group_size=ROWS)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Digits in three files of two row groups; two images of each file are bad."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(FILES):
        _write_file(folder / f"{number}.parquet", number * GROUPS * ROWS)
    return folder


class _Scoring:
    """`score` of one folder with one bundle, and how many parts it has scored."""

    def __init__(self, data: Path, model: Path, monkeypatch: pytest.MonkeyPatch):
        self.inputs, self.model, self.scored = [f"{data}/*.parquet"], str(model), 0
        self.die_before: int | None = None  # how many parts are scored before it dies
        original = score_in_parts.run

        def run(*arguments: Any, **options: Any) -> Any:
            if self.scored == self.die_before:
                raise KeyboardInterrupt
            self.scored += 1
            return original(*arguments, **options)

        monkeypatch.setattr(score_in_parts, "run", run)

    def __call__(self, output: Path | str, **options: Any) -> dict[str, Any]:
        self.scored = 0
        return score(self.inputs, self.model, str(output), **options)

    def interrupted(self, output: Path, after: int, **options: Any) -> None:
        self.die_before = after
        with pytest.raises(KeyboardInterrupt):
            self(output, **{"checkpoint_every": EVERY, **options})
        self.die_before = None
        assert not (output / "_SUCCESS").exists()
        assert not (output / "scores").exists()

    def verified(self, output: Path) -> bool:
        return bool(verify(str(output), self.inputs)["ok"])


@pytest.fixture
def scoring(data: Path, bundle: Bundles, monkeypatch: pytest.MonkeyPatch) -> _Scoring:
    return _Scoring(data, bundle("ae"), monkeypatch)


def _rows(run: Path) -> list[pa.Table]:
    """Scores and rejects of a finished run, all bits, in the order of the ids."""
    tables = []
    for kind in ("scores", "rejects"):
        paths = [run / file["path"] for file in read_ledger(str(run))["files"]]
        paths = [path for path in paths if path.parent.name == kind]
        assert sorted(paths) == sorted((run / kind).iterdir())
        tables.append(pa.concat_tables(map(pq.read_table, paths)).sort_by("id"))
    return tables


def _counts(ledger: dict[str, Any]) -> dict[str, Any]:
    return {name: ledger[name] for name in ("records", "files_passed_over")}


def _same(run: Path, expected: Path) -> bool:
    pairs = zip(_rows(run), _rows(expected), strict=True)
    ledgers = [_counts(read_ledger(str(path))) for path in (run, expected)]
    names = [sorted(path.name for path in folder.iterdir()) for folder in (run, expected)]
    return all(a.equals(b) for a, b in pairs) and ledgers[0] == ledgers[1] and names[0] == names[1]


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in paths}


def test_parts_give_the_rows_of_a_run_without(
    scoring: _Scoring, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "notes.parquet").mkdir()  # no file, and so none of the inputs
    scoring(tmp_path / "one", where=["file!=1"])
    ledger = scoring(tmp_path / "parts", where=["file!=1"], checkpoint_every=EVERY)
    assert scoring.scored == FILES  # of which the second has no record
    assert ledger["checkpoints"] == {"every": EVERY, "parts": FILES}
    assert ledger["records"]["rejected"] == 4
    assert ledger["records"]["excluded_by_where"] == GROUPS * ROWS
    assert _same(tmp_path / "parts", tmp_path / "one")
    assert scoring.verified(tmp_path / "parts")
    assert "scoring part 3: 40 records" in capsys.readouterr().err


def test_resume_does_only_what_is_missing(
    scoring: _Scoring, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scoring(tmp_path / "one")
    run = tmp_path / "run"
    scoring.interrupted(run, after=2)
    # Numbers of other files may be reused once those files are gone.
    before = {inode for name, (inode, _) in _state(run).items() if name.endswith(".parquet")}
    assert len(before) == 6  # scores, rejects and regions of two parts
    scoring(run, checkpoint_every=EVERY, resume=True)
    assert scoring.scored == FILES - 2
    assert "resuming after 2 parts (80 records)" in capsys.readouterr().err
    assert _same(run, tmp_path / "one")
    kept = [inode for inode, _ in _state(run).values() if inode in before]
    assert len(kept) == 6, "the files of two parts, moved as they were"
    assert scoring.verified(run)


def test_resume_begins_where_there_is_nothing_and_leaves_what_is_done(
    scoring: _Scoring, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    first = scoring(run, checkpoint_every=EVERY, resume=True)
    assert scoring.scored == FILES
    before = _state(run)
    for options in ({}, {"checkpoint_every": EVERY}, {"checkpoint_every": 7, "overwrite": True}):
        assert scoring(run, resume=True, **options) == first
    assert _state(run) == before
    assert scoring.scored == 0


def test_resume_without_checkpoints(scoring: _Scoring, tmp_path: Path) -> None:
    first = scoring(tmp_path / "one", resume=True)
    assert (scoring.scored, "checkpoints" in first) == (0, False)
    assert scoring(tmp_path / "one", resume=True) == first
    scoring.interrupted(tmp_path / "run", after=1)
    ledger = scoring(tmp_path / "run", resume=True)  # parts of the size that it began with
    assert (scoring.scored, ledger["checkpoints"]["every"]) == (FILES - 1, EVERY)
    assert _same(tmp_path / "run", tmp_path / "one")


@pytest.mark.slow
def test_an_unfinished_run_is_not_begun_anew_unasked(scoring: _Scoring, tmp_path: Path) -> None:
    run = tmp_path / "run"
    scoring.interrupted(run, after=1)
    before = _state(run)
    for options in ({}, {"checkpoint_every": EVERY}):
        with pytest.raises(
            OutputError, match="unfinished run: give --resume to continue it, or --overwrite"
        ):
            scoring(run, **options)
    assert _state(run) == before
    scoring(run, checkpoint_every=EVERY, overwrite=True)
    assert scoring.scored == FILES
    scoring.interrupted(tmp_path / "other", after=1)
    scoring(tmp_path / "other", overwrite=True)  # without parts
    assert _same(tmp_path / "other", run)


_OTHER_COMMANDS: list[tuple[dict[str, Any], str]] = [
    ({"where": ["label=1"]}, r'--where was \[\] and is \["label=1"\]'),
    ({"fpr": 0.2}, "--fpr was 0.05 and is 0.2"),
    ({"portable_schema": True}, "--portable_schema was false and is true"),
    ({"error_maps": True}, "--error_maps was false and is true"),
    ({"outputs": ["latent_mean"]}, "--outputs was .* and is .*latent_mean"),
    ({"checkpoint_every": 31}, "--checkpoint_every was 30 and is 31"),
]


def test_another_command_is_not_gone_on_with(scoring: _Scoring, tmp_path: Path) -> None:
    run = tmp_path / "run"
    scoring.interrupted(run, after=1)
    before = _state(run)
    for options, message in _OTHER_COMMANDS:
        with pytest.raises(OutputError, match=f"cannot resume the unfinished run in .*: {message}"):
            scoring(run, **{"checkpoint_every": EVERY, "resume": True, **options})
        assert _state(run) == before


def test_another_bundle_is_not_gone_on_with(
    scoring: _Scoring, bundle: Bundles, tmp_path: Path
) -> None:
    scoring.interrupted(tmp_path / "run", after=1)
    scoring.model = str(bundle("vae"))
    with pytest.raises(OutputError, match=r'the bundle was "[0-9a-f]+" and is "[0-9a-f]+"'):
        scoring(tmp_path / "run", resume=True)
    scoring(tmp_path / "run", resume=True, overwrite=True, checkpoint_every=EVERY)
    assert scoring.scored == FILES
    scoring.model = str(bundle("ae"))
    with pytest.raises(
        OutputError, match=r"the finished run in .* is a different one: the bundle was"
    ):
        scoring(tmp_path / "run", resume=True)


def _changed(data: Path) -> str:
    _write_file(data / "0.parquet", 500)
    return "0.parquet was changed"


def _gone(data: Path) -> str:
    (data / "1.parquet").unlink()
    return "1.parquet is gone"


def _renamed(data: Path) -> str:
    (data / "1.parquet").rename(data / "9.parquet")
    return "1.parquet is gone"


def _more(data: Path) -> str:
    _write_file(data / "00.parquet", 500)
    return "00.parquet is new"


def _all_but_one_gone(data: Path) -> str:
    for number in range(1, FILES):
        (data / f"{number}.parquet").unlink()
    return "1.parquet is gone"


@pytest.mark.parametrize("change", [_changed, _gone, _renamed, _more, _all_but_one_gone])
def test_inputs_that_changed_are_named(
    scoring: _Scoring, data: Path, tmp_path: Path, change: Callable[[Path], str]
) -> None:
    run = tmp_path / "run"
    scoring.interrupted(run, after=2)
    named = change(data)
    with pytest.raises(InputError, match=f"the inputs have changed .* started: {data}/{named}"):
        scoring(run, resume=True)
    assert scoring.scored == 0


@pytest.mark.slow
def test_inputs_that_were_not_reached_may_change(
    scoring: _Scoring, data: Path, tmp_path: Path
) -> None:
    scoring.interrupted(tmp_path / "run", after=1)
    _write_file(data / "2.parquet", 500)
    _write_file(data / "3.parquet", 600)
    scoring(tmp_path / "run", resume=True)
    assert scoring.scored == FILES
    scoring(tmp_path / "one")
    assert _same(tmp_path / "run", tmp_path / "one")


@pytest.mark.slow
def test_what_a_part_left_is_made_anew_if_it_is_not_whole(
    scoring: _Scoring, tmp_path: Path
) -> None:
    scoring(tmp_path / "one")
    run = tmp_path / "run"
    scoring.interrupted(run, after=2)
    (staging,) = run.glob(".staging-*")
    first, second = staging.glob("part-*/scores-*.parquet")
    first.unlink()
    second.write_bytes(second.read_bytes()[:-9])
    scoring(run, resume=True)
    assert scoring.scored == FILES
    assert _same(run, tmp_path / "one")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_that_dies_while_it_finishes_is_finished(
    scoring: _Scoring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    one = tmp_path / "one"
    scoring(one)
    scoring.interrupted(tmp_path / "base", after=FILES - 1)
    options = {"resume": True, "overwrite": overwrite}
    if overwrite:
        for name in ("scores", "rejects", "run.json", "_SUCCESS"):
            copy = shutil.copytree if (one / name).is_dir() else shutil.copy
            copy(one / name, tmp_path / "base" / name)
    with monkeypatch.context() as patch:
        patch.setattr(finish_module, "changes", Dies(0))
        with pytest.raises(KeyboardInterrupt):
            scoring(tmp_path / "base", **options)
    for changes in itertools.count(1):
        run = tmp_path / str(changes)
        shutil.copytree(tmp_path / "base", run)
        with monkeypatch.context() as patch:
            patch.setattr(finish_module, "changes", Dies(changes))
            try:
                scoring(run, **options)
            except KeyboardInterrupt:
                died = True
            else:
                died = False
        finished = scoring(run, **options)
        assert scoring.scored == 0, f"died after {changes} changes"
        assert finished == read_ledger(str(run))
        assert _same(run, one), f"died after {changes} changes"
        if not died:
            break
    assert changes > 10


@pytest.mark.slow
def test_on_an_object_store(
    scoring: _Scoring, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "objects").mkdir()
    monkeypatch.setenv(object_store.ROOT, str(tmp_path / "objects"))
    scoring.inputs = [f"{object_store.upload(data, 'bucket://b/data')}/*.parquet"]
    one, run = "bucket://b/one", "bucket://b/run"
    scoring(one)
    scoring.die_before = 2
    with pytest.raises(KeyboardInterrupt):
        scoring(run, checkpoint_every=EVERY)
    scoring.die_before = None
    left = object_store.objects(run)
    with pytest.raises(OutputError, match="unfinished run"):
        scoring(run)
    place = tmp_path / "objects" / quote("b/data/0.parquet", safe="")
    times = place.stat()
    object_store.put("bucket://b/data/0.parquet", b"other")
    with pytest.raises(InputError, match=r"started: bucket://b/data/0\.parquet was changed"):
        scoring(run, resume=True)
    assert object_store.objects(run) == left
    place.write_bytes((data / "0.parquet").read_bytes())
    os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
    ledger = scoring(run, resume=True)
    assert (scoring.scored, ledger["checkpoints"]["parts"]) == (FILES - 2, FILES)
    assert _counts(ledger) == _counts(read_ledger(one))
    tables = [
        pa.concat_tables(
            pq.read_table(io.BytesIO(object_store.get(f"{folder}/{file['path']}")))
            for file in read_ledger(folder)["files"]
            if file["path"].startswith("scores")
        ).sort_by("id")
        for folder in (one, run)
    ]
    assert tables[0].equals(tables[1])
    assert verify(run, scoring.inputs)["ok"]
    names = {path.removeprefix(f"{run}/").partition("/")[0] for path in object_store.objects(run)}
    assert names == {"_SUCCESS", "regions", "rejects", "run.json", "scores"}
    scoring(run, overwrite=True, checkpoint_every=EVERY)
    assert verify(run, scoring.inputs)["ok"]


def test_a_job_that_is_handed_over_has_no_parts(bundle: Bundles, tmp_path: Path) -> None:
    flags = ["--runner=DataflowRunner", "--project=abc", "--region=r", "--dry_run=True"]
    for options in ({"checkpoint_every": 5}, {"resume": True}):
        with pytest.raises(
            ConfigError, match="--resume need a run that finishes in this process: leave out"
        ):
            score(["gs://abc/x"], str(bundle("ae")), "gs://abc/run", beam_flags=flags, **options)


def _command(data: Path, model: Path, run: Path, *more: str) -> list[str]:
    inputs, parts = ["--input", f"{data}/*.parquet"], ["--checkpoint_every", str(EVERY)]
    score_ = ["score", *inputs, "--model", str(model), "--output", str(run), *parts]
    return [sys.executable, "-m", "pipelines.cli", *score_, *more]


@pytest.mark.parametrize(
    "flags",
    [
        [],
        pytest.param(
            ["--direct_running_mode=multi_processing", "--direct_num_workers=2"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_that_was_killed_is_gone_on_with(
    scoring: _Scoring, data: Path, bundle: Bundles, tmp_path: Path, flags: list[str]
) -> None:
    run = tmp_path / "run"
    kill(_command(data, bundle("ae"), run, *flags), lambda: parts_done(run) == 1)
    assert parts_done(run) == 1
    # Immediately: worker processes that still exist do not hold the folder.
    scoring(run, checkpoint_every=EVERY, resume=True)
    assert scoring.scored == FILES - 1
    scoring(tmp_path / "one")
    assert _same(run, tmp_path / "one")
    assert scoring.verified(run)


@pytest.mark.slow
def test_killed_at_any_moment(
    scoring: _Scoring, data: Path, bundle: Bundles, tmp_path: Path
) -> None:
    scoring(tmp_path / "one")
    run = tmp_path / "run"
    command = _command(data, bundle("ae"), run, "--resume")
    generator = np.random.default_rng(0)
    for _ in range(12):
        ends = time.monotonic() + float(generator.uniform(6, 16))
        kill(command, lambda: time.monotonic() > ends)  # noqa: B023 - it is called in this turn
        if (run / "_SUCCESS").exists():
            assert _same(run, tmp_path / "one")
            shutil.rmtree(run)
    scoring(run, checkpoint_every=EVERY, resume=True)
    assert _same(run, tmp_path / "one")
