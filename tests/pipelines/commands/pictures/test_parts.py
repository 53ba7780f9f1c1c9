"""Runs with pictures in parts, interrupted and resumed, and on an object store: the pictures are
those of an uninterrupted run."""

import contextlib
import io
import itertools
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from ae_models.errors import OutputError
from pipelines.commands import score_in_parts
from pipelines.commands.relabel import relabel
from pipelines.commands.resume import finished_or_plan
from pipelines.commands.score import score
from pipelines.commands.verify import verify
from tests.support import object_store
from tests.support.failing_changes import Dies
from tests.support.killed import kill, parts_done
from tests.support.made_once import made_once
from tests.support.map_pictures import drawn, picture_bytes, rows_of
from transforms.runs import finish as finish_module
from transforms.runs.checkpoint_plan import Plan, write_plan
from transforms.runs.ledger import read_ledger

Bundles = Callable[[str], Path]
PNG = {"maps": "all", "map_format": "png"}
PARTS, ROWS, EVERY = 3, 12, 10


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits in three Parquet files, the first of each with a square. The last record of a file is
    repeated in the next file, with the same id."""

    def make(folder: Path) -> None:
        digits = (load_digits().images * 15).astype(np.uint8)
        folder.mkdir()
        for part in range(PARTS):
            numbers = range(part * (ROWS - 1), part * (ROWS - 1) + ROWS)
            images = digits[list(numbers)].copy()
            images[1:4, :3, :3] = 255
            ids = [f"r/{number:03d}" for number in numbers]
            table = pa.table({"id": ids, "image": list(map(_png, images)), "file": [part] * ROWS})
            pq.write_table(table, folder / f"{part}.parquet")

    return made_once(tmp_path_factory, "rows-to-draw", make)


@pytest.fixture(scope="module")
def whole(data: Path, bundle: Bundles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run without parts."""

    def make(folder: Path) -> None:
        score([str(data)], str(bundle("ae")), str(folder), **PNG)

    return made_once(tmp_path_factory, "run-of-rows-to-draw", make)


class _Scoring:
    """`score` of the rows, and how many parts it has scored."""

    def __init__(self, data: Path, model: Path, monkeypatch: pytest.MonkeyPatch):
        self.inputs, self.model, self.scored = [str(data)], str(model), 0
        self._die_before: int | None = None  # how many parts are scored before it dies
        original = score_in_parts.run

        def run(*arguments: Any, **options: Any) -> Any:
            if self.scored == self._die_before:
                raise KeyboardInterrupt
            self.scored += 1
            return original(*arguments, **options)

        monkeypatch.setattr(score_in_parts, "run", run)

    def __call__(self, output: Path | str, **options: Any) -> dict[str, Any]:
        self.scored = 0
        return score(self.inputs, self.model, str(output), **{**PNG, **options})

    def interrupted(self, output: Path | str, after: int, **options: Any) -> None:
        self._die_before = after
        with pytest.raises(KeyboardInterrupt):
            self(output, checkpoint_every=EVERY, **options)
        self._die_before = None


@pytest.fixture
def scoring(data: Path, bundle: Bundles, monkeypatch: pytest.MonkeyPatch) -> _Scoring:
    return _Scoring(data, bundle("ae"), monkeypatch)


def _rows(run: Path, kind: str) -> list[str]:
    return sorted(map(repr, rows_of(run, kind)))


def _check_same(run: Path, whole: Path) -> None:
    """Names and bytes of pictures, and rows; no temporary files remain."""
    assert picture_bytes(run) == picture_bytes(whole)
    assert len(drawn(run)) == PARTS * ROWS
    for kind in ("scores", "regions", "maps"):
        assert _rows(run, kind) == _rows(whole, kind)
    assert {path.name for path in run.iterdir()} == {path.name for path in whole.iterdir()}


def test_a_run_in_parts_has_the_same_pictures(
    scoring: _Scoring, whole: Path, tmp_path: Path
) -> None:
    ledger = scoring(tmp_path / "run", checkpoint_every=EVERY)
    assert (scoring.scored, ledger["checkpoints"]["parts"]) == (PARTS, PARTS)
    _check_same(tmp_path / "run", whole)
    assert len(picture_bytes(whole)) == 2 * (PARTS * ROWS - (PARTS - 1))
    assert verify(str(tmp_path / "run"), scoring.inputs)["ok"] == verify(
        str(whole), scoring.inputs
    )["ok"]  # fmt: skip


def test_resume_takes_the_pictures_of_parts_that_are_done(
    scoring: _Scoring, whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    scoring.interrupted(run, after=2)
    assert not (run / "map_pictures").exists()
    before = {path.stat().st_ino for path in run.glob(".staging-*/part-*/map_pictures/*.png")}
    assert len(before) == 2 * 2 * ROWS
    scoring(run, resume=True)
    assert scoring.scored == PARTS - 2
    _check_same(run, whole)
    kept = [path for path in (run / "map_pictures").iterdir() if path.stat().st_ino in before]
    assert len(kept) >= 2 * (2 * ROWS - 2)  # but what parts share


def test_another_map_format_is_not_gone_on_with(
    scoring: _Scoring, whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    scoring.interrupted(run, after=1)
    told = r'--map_format was "png" and is "parquet"'
    with pytest.raises(OutputError, match=f"cannot resume the unfinished run in .*: {told}"):
        scoring(run, map_format="parquet", resume=True)
    with pytest.raises(OutputError, match=r"--maps was .*; --map_format was "):
        scoring(run, maps=None, map_format="parquet", resume=True)
    finished = Path(shutil.copytree(whole, tmp_path / "finished"))
    with pytest.raises(OutputError, match=f"finished run in .* is a different one: {told}"):
        scoring(finished, map_format="parquet", resume=True)
    assert picture_bytes(finished) == picture_bytes(whole)
    assert scoring(finished, resume=True) == read_ledger(str(whole))
    numbers = tmp_path / "numbers"
    scoring(numbers, map_format="parquet")
    with pytest.raises(OutputError, match=r'--map_format was "parquet" and is "png"'):
        scoring(numbers, resume=True)


def test_a_finished_run_of_an_earlier_version_had_numbers(
    scoring: _Scoring, tmp_path: Path
) -> None:
    """Its ledger states no format."""
    run = tmp_path / "run"
    scoring(run, map_format="parquet")
    ledger = json.loads((run / "run.json").read_text())
    del ledger["map_format"]
    (run / "run.json").write_text(json.dumps(ledger))
    assert scoring(run, map_format="parquet", resume=True) == ledger
    with pytest.raises(OutputError, match=r'--map_format was "parquet" and is "png"'):
        scoring(run, resume=True)


@pytest.mark.parametrize("lost", ["one", pytest.param("all", marks=pytest.mark.slow)])
def test_a_part_whose_pictures_are_lost_is_done_anew(
    scoring: _Scoring, whole: Path, tmp_path: Path, lost: str
) -> None:
    run = tmp_path / "run"
    scoring.interrupted(run, after=2)
    (folder, _) = sorted(run.glob(".staging-*/part-*/map_pictures"))
    if lost == "one":
        min(folder.iterdir()).unlink()
    else:
        shutil.rmtree(folder)
    scoring(run, resume=True)
    assert scoring.scored == PARTS - 1
    _check_same(run, whole)


def _finishing(scoring: _Scoring, run: Path, changes: int, **options: Any) -> bool:
    """Resumes a run that dies after this many changes; returns whether it died."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish_module, "changes", Dies(changes))
        with contextlib.suppress(KeyboardInterrupt):
            scoring(run, resume=True, **options)
            return False
    return True


def _moments(run: Path, scoring: _Scoring, tmp_path: Path, **options: Any) -> Iterator[Path]:
    """Copies of a run whose parts are all done, each of which died at a different moment while
    finishing. Only some moments: finishing has separate tests of every moment."""
    for changes in itertools.count(1, 9):
        copy = Path(shutil.copytree(run, tmp_path / f"died-{changes}"))
        died = _finishing(scoring, copy, changes, **options)
        yield copy
        shutil.rmtree(copy)
        if not died:
            assert changes > 2 * PARTS * ROWS - 10
            return


@pytest.mark.slow
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_that_dies_while_it_finishes_is_finished(
    scoring: _Scoring, whole: Path, finished: Callable[..., Path], tmp_path: Path, overwrite: bool
) -> None:
    """Also when replacing another run with pictures: there never is a mixture."""
    base = tmp_path / "base"
    scoring.interrupted(base, after=PARTS - 1)
    if overwrite:
        shutil.copytree(finished(**PNG), base, dirs_exist_ok=True)
    earlier = picture_bytes(finished(**PNG))
    assert _finishing(scoring, base, 0, overwrite=overwrite)
    for run in _moments(base, scoring, tmp_path, overwrite=overwrite):
        if (run / "_SUCCESS").exists():
            assert picture_bytes(run) in (earlier, picture_bytes(whole))
            assert len(drawn(run)) in (PARTS * ROWS, len(earlier) // 2)
        scoring(run, resume=True, overwrite=overwrite)
        assert scoring.scored == 0, run
        _check_same(run, whole)


def _command(data: Path, model: Path, run: Path, *more: str) -> list[str]:
    flags = ["--input", str(data), "--model", str(model), "--output", str(run), "--maps", "all"]
    parts = ["--map_format", "png", "--checkpoint_every", str(EVERY)]
    return [sys.executable, "-m", "pipelines.cli", "score", *flags, *parts, *more]


@pytest.mark.slow
def test_a_killed_run_is_gone_on_with_to_the_same_pictures(
    scoring: _Scoring, data: Path, bundle: Bundles, whole: Path, tmp_path: Path
) -> None:
    run, command = tmp_path / "run", _command(data, bundle("ae"), tmp_path / "run")
    kill(command, lambda: parts_done(run) >= 1)
    assert 1 <= parts_done(run) < PARTS
    assert not (run / "_SUCCESS").exists()
    done = parts_done(run)
    scoring(run, checkpoint_every=EVERY, resume=True)
    assert scoring.scored == PARTS - done
    _check_same(run, whole)


@pytest.mark.slow
@pytest.mark.parametrize("least", [1, 9, 30, 50, 70])
def test_a_run_that_is_killed_between_pictures(
    scoring: _Scoring, data: Path, bundle: Bundles, whole: Path, tmp_path: Path, least: int
) -> None:
    """In the middle of a part, so there are pictures that no row names."""
    run = tmp_path / "run"

    def written() -> bool:
        return len(list(run.glob(".staging-*/part-*/map_pictures/*.png"))) >= least

    kill(_command(data, bundle("ae"), run), written)
    scoring(run, checkpoint_every=EVERY, resume=True)
    _check_same(run, whole)


@pytest.mark.slow
def test_a_killed_run_without_parts_is_begun_anew(
    scoring: _Scoring, data: Path, bundle: Bundles, whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = _command(data, bundle("ae"), run)[:-2]
    kill(command, lambda: len(list(run.glob(".staging-*/map_pictures/*.png"))) >= 5)
    assert not (run / "_SUCCESS").exists()
    assert not (run / "map_pictures").exists()
    scoring(run)
    assert picture_bytes(run) == picture_bytes(whole)


@pytest.mark.slow
def test_worker_processes_write_the_same_pictures(
    scoring: _Scoring, whole: Path, tmp_path: Path
) -> None:
    flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    scoring(tmp_path / "run", beam_flags=flags)
    assert picture_bytes(tmp_path / "run") == picture_bytes(whole)
    assert _rows(tmp_path / "run", "maps") == _rows(whole, "maps")


# On an object store.

RUN = "bucket://b/run"


def _stored(prefix: str) -> dict[str, bytes]:
    folder = f"{prefix}/map_pictures/"
    return {
        path.removeprefix(folder): object_store.get(path) for path in object_store.objects(folder)
    }


@pytest.mark.parametrize("every", [None, pytest.param(EVERY, marks=pytest.mark.slow)])
def test_on_an_object_store(
    scoring: _Scoring,
    data: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    every: int | None,
) -> None:
    (tmp_path / "objects").mkdir()
    monkeypatch.setenv(object_store.ROOT, str(tmp_path / "objects"))
    scoring.inputs = [object_store.upload(data, "bucket://b/data")]
    if every is not None:
        scoring.interrupted(RUN, after=2)
        lost = next(path for path in object_store.objects(RUN) if path.endswith(".map.png"))
        object_store.BucketFileSystem(None).delete([lost])  # type: ignore[arg-type]
        scoring(RUN, checkpoint_every=every, resume=True)
        assert scoring.scored == PARTS - 1
    else:
        scoring(RUN)
    assert _stored(RUN) == picture_bytes(whole)
    names = {path.removeprefix(f"{RUN}/").partition("/")[0] for path in object_store.objects(RUN)}
    assert names <= {path.name for path in whole.iterdir()}
    assert verify(RUN, scoring.inputs)["problems"] == verify(str(whole), [str(data)])["problems"]
    with pytest.raises(OutputError, match=r"--map_format was"):
        scoring(RUN, map_format="parquet", resume=True)
    relabel(RUN, "bucket://b/new", fpr=0.3)
    assert _stored("bucket://b/new") == picture_bytes(whole)
    name = min(_stored(RUN))
    object_store.put(f"{RUN}/map_pictures/{name}", b"changed")
    object_store.put(f"{RUN}/map_pictures/foreign.png", b"")
    assert verify(RUN, scoring.inputs)["problems"] == [
        f"{RUN}/map_pictures/{name} was changed since the run was written",
        f"{RUN}/map_pictures/foreign.png belongs to no map of the run",
    ]
    scoring(RUN, maps=None, map_format="parquet", overwrite=True)
    assert _stored(RUN) == {}


def test_a_run_that_was_begun_before_there_was_a_choice_goes_on(tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    _, begun = finished_or_plan(run, {"maps_of": "all"}, 100, resume=False, overwrite=False)
    assert begun is not None
    earlier = {name: v for name, v in begun.rows_depend_on.items() if name != "--map_format"}
    write_plan(run, Plan(begun.run_id, 100, earlier))
    now = {"maps_of": "all", "map_format": "parquet"}
    assert finished_or_plan(run, now, None, resume=True, overwrite=False)[1] is not None
    with pytest.raises(OutputError, match='--map_format was "parquet" and is "png"'):
        finished_or_plan(run, now | {"map_format": "png"}, None, resume=True, overwrite=False)
