"""Power failures in the middle of commands: finished results are complete, others are remade."""

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ae_models.errors import TooManyRejectsError
from pipelines.commands import score_in_parts
from pipelines.commands.cluster import cluster
from pipelines.commands.relabel import relabel
from pipelines.commands.score import score
from tests.support.crash import Crash, Recording, recorded
from tests.support.results import check_whole, result_digests

Bundles = Callable[[str], Path]
Work = Callable[[Path], object]  # on a disk, in whose folder `run` the result is to lie


def _rows(run: Path) -> list[dict[str, Any]]:
    """The rows of a result, whatever its files."""
    kinds = [path for path in run.iterdir() if path.is_dir() and path.name != "passed_over"]
    tables = [pq.read_table(path).sort_by("id") for path in sorted(kinds) if any(path.iterdir())]
    return [row for table in tables for row in table.to_pylist()]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A folder that is on the disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    return folder


def _inputs(images: Path) -> list[str]:
    """The folders of images as separate inputs: one source's listing would be a single part."""
    return sorted(str(path) for path in images.iterdir() if path.is_dir())


class _Replay:
    """Checks every state that a command left; after some or all of them, tries the next run.

    Args:
      disk: where the command ran; its result is in the folder `run`.
      known: results, by their runs' ids, that may be found complete.
      again: the next run, which must give the same rows.
    """

    def __init__(
        self, recording: Recording, disk: Path, known: dict[str, dict[str, str]], again: Work
    ):
        self._recording, self._known, self._again = recording, known, again
        self._new = check_whole(disk / "run", known)
        self._rows = _rows(disk / "run")
        self._names = sorted(path.name for path in (disk / "run").iterdir())

    def check(self, tmp_path: Path, tried: int | None) -> int:
        """Returns the number of states; the next run is tried after `tried` of them (None: all)."""
        states: dict[str, Crash] = {}
        for crash in self._recording.crashes():
            states.setdefault(crash.digest(), crash)
        drawn = list(states)
        random.Random(0).shuffle(drawn)
        goes_on = set(drawn[:tried])
        for number, (digest, crash) in enumerate(states.items()):
            folder = crash.write(tmp_path / "crashes" / str(number))
            try:
                check_whole(folder / "run", self._known)
                if digest in goes_on:
                    self._again(folder)
                    assert _rows(folder / "run") == self._rows
                    assert sorted(p.name for p in (folder / "run").iterdir()) == self._names
            except BaseException as error:
                error.add_note(f"{crash.how} at {crash.moment}: {list(crash.tree)}")
                raise
        for crash in self._recording.states():
            folder = crash.write(tmp_path / "end" / crash.how)
            assert check_whole(folder / "run", self._known) == self._new
        return len(states)


def _replayed(
    disk: Path, tmp_path: Path, work: Work, again: Work, tried: int | None, old: bool = False
) -> int:
    known = dict([result_digests(disk / "run")]) if old else {}
    with recorded(disk) as recording:
        work(disk)
    known |= dict([result_digests(disk / "run")])
    return _Replay(recording, disk, known, again).check(tmp_path, tried)


_SOME, _ALL = pytest.param(6, marks=pytest.mark.long), pytest.param(None, marks=pytest.mark.long)
few_or_all = pytest.mark.parametrize("tried", [2, _SOME, _ALL], ids=["few", "some", "all"])
some_or_all = pytest.mark.parametrize("tried", [_SOME, _ALL], ids=["some", "all"])


@few_or_all
@pytest.mark.parametrize(
    ("every", "old"),
    [
        pytest.param(None, False, marks=pytest.mark.long),
        pytest.param(None, True, marks=pytest.mark.long),
        pytest.param(15, False, marks=pytest.mark.long),
        (15, True),
    ],
    ids=["new", "overwritten", "in parts", "overwritten in parts"],
)
def test_scoring(
    bundle: Bundles,
    image_folder: Path,
    disk: Path,
    tmp_path: Path,
    every: int | None,
    old: bool,
    tried: int | None,
) -> None:
    model = str(bundle("ae"))
    if old:
        score([str(image_folder / "1")], model, str(disk / "run"))

    def run(folder: Path, **how: Any) -> None:
        inputs = _inputs(image_folder) if every else [str(image_folder)]
        score(inputs, model, str(folder / "run"), overwrite=True, checkpoint_every=every, **how)

    def again(folder: Path) -> None:
        run(folder, resume=every is not None)

    assert _replayed(disk, tmp_path, run, again, tried, old) > 15


@some_or_all
def test_going_on_after_a_part_is_gone(
    bundle: Bundles,
    image_folder: Path,
    disk: Path,
    tmp_path: Path,
    tried: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = str(bundle("ae"))

    def run(folder: Path) -> None:
        inputs = _inputs(image_folder)
        score(inputs, model, str(folder / "run"), checkpoint_every=15, resume=True)

    with monkeypatch.context() as patch:  # it dies before its third part
        original, parts = score_in_parts.remember_files, itertools.count()

        def die(*given: Any) -> None:
            if next(parts) == 2:
                raise KeyboardInterrupt
            original(*given)

        patch.setattr(score_in_parts, "remember_files", die)
        with pytest.raises(KeyboardInterrupt):
            run(disk)
    assert list((disk / "run").glob(".staging-*/done-*"))
    assert _replayed(disk, tmp_path, run, run, tried) > 15


@few_or_all
def test_relabelling(
    digits_run: Callable[..., Path], disk: Path, tmp_path: Path, tried: int | None
) -> None:
    run = str(digits_run("vae"))

    def again(folder: Path) -> None:
        relabel(run, str(folder / "run"), fpr=0.3, overwrite=True)

    again(disk)
    assert _replayed(disk, tmp_path, again, again, tried, old=True) > 15


@some_or_all
def test_clustering(
    digits_run: Callable[..., Path], disk: Path, tmp_path: Path, tried: int | None
) -> None:
    run = str(digits_run("vae"))

    def again(folder: Path) -> None:
        cluster(run, str(folder / "run"), clusters=3, sample=200, overwrite=True)

    assert _replayed(disk, tmp_path, again, again, tried) > 15


@pytest.mark.long
def test_failing(bundle: Bundles, image_folder: Path, disk: Path, tmp_path: Path) -> None:
    model = str(bundle("ae"))
    with recorded(disk) as recording, pytest.raises(TooManyRejectsError):
        score([str(image_folder)], model, str(disk / "run"), max_rejects=0)
    assert (disk / "run" / "failed.json").exists()
    states = {crash.digest(): crash for crash in recording.crashes()}
    for number, crash in enumerate(states.values()):
        folder = crash.write(tmp_path / "crashes" / str(number))
        assert check_whole(folder / "run", {}) is None
    for crash in [*states.values()][-2:]:
        folder = crash.write(tmp_path / "again" / str(crash.moment) / crash.how)
        score([str(image_folder)], model, str(folder / "run"))
        assert sorted(path.name for path in (folder / "run").iterdir()) == [
            *("_SUCCESS", "passed_over", "regions", "rejects", "run.json", "scores")
        ]
