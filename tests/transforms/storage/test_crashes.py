"""Power failures: after each operation of a run, whatever reached the disk, the folder contains a
finished, complete result, or an unfinished one that gives way to the next run."""

import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.support.crash import Crash, Tree, recorded
from tests.support.results import Digests, check_whole, digests
from transforms.runs.finish import finish_run
from transforms.runs.ledger import REJECTS, SCORES, write_failure
from transforms.runs.shards import Shard
from transforms.storage.changes import move, remove, write_text, write_whole
from transforms.storage.staging import staging_folder

Known = dict[str, Digests]  # by run id


def _replay(
    crashes: Iterable[Crash],
    tmp_path: Path,
    check: Callable[[Path], None],
) -> int:
    """Checks each state once; returns their number."""
    seen = set[str]()
    for crash in crashes:
        if (digest := crash.digest()) in seen:
            continue
        folder = crash.write(tmp_path / "crashes" / str(len(seen)))
        seen.add(digest)
        try:
            check(folder)
        except BaseException as error:
            error.add_note(f"after operation {crash.moment}, {crash.how} on the disk: {crash.tree}")
            raise
    return len(seen)


def _finish(output: Path, run_id: str, scores: int, rejects: int, overwrite: bool) -> None:
    """A run whose shards are written as runs write them."""
    shards = []
    for number, kind in enumerate([SCORES] * scores + [REJECTS] * rejects):
        path = f"{staging_folder(str(output), run_id)}/{kind}-{number}.parquet"
        write_text(path, f"{run_id} {number}")
        shards.append(Shard(kind, path, 1, f"r{number}", {}))
    finish_run(str(output), run_id, shards=shards, facts={}, overwrite=overwrite)


def _after_a_crash(folder: Path, known: Known, numbers: "itertools.count[int]") -> None:
    check_whole(folder / "run", known)
    run_id = f"again{next(numbers)}"
    _finish(folder / "run", run_id, 2, 1, overwrite=True)
    again = {run_id: digests(folder / "run")}
    assert len(again[run_id]) == 5
    assert check_whole(folder / "run", again) == run_id


@pytest.mark.parametrize("journal", [True, False])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_crash_while_a_run_finishes(tmp_path: Path, overwrite: bool, journal: bool) -> None:
    root, known = tmp_path / "disk", Known()
    root.mkdir()
    if overwrite:
        _finish(root / "run", "old", 3, 1, overwrite=False)
        known["old"] = digests(root / "run")
    with recorded(root) as recording:
        _finish(root / "run", "new", 1, 2, overwrite)
    known["new"] = digests(root / "run")
    numbers = itertools.count()
    states = _replay(
        recording.crashes(journal=journal),
        tmp_path,
        lambda folder: _after_a_crash(folder, known, numbers),
    )
    assert states > 20
    start = {crash.digest() for crash in recording.states(0, seeds=20)}
    assert len(start) == 1, "what is found is flushed"
    for crash in recording.states(journal=journal):
        folder = crash.write(tmp_path / "end" / crash.how)
        assert check_whole(folder / "run", known) == "new", "a run that has ended survives a crash"


@pytest.mark.parametrize("forgotten", ["scores-0", "run.json", "/run/scores"])
def test_a_flush_that_is_forgotten_is_found(tmp_path: Path, forgotten: str) -> None:
    """Checks that the recorder would detect a fault."""
    root = tmp_path / "disk"
    root.mkdir()
    with recorded(root, without=forgotten) as recording:
        _finish(root / "run", "new", 1, 1, overwrite=False)
    known = {"new": digests(root / "run")}

    def replay() -> None:
        states = [(False, crash) for crash in recording.crashes(journal=False)]
        states += [(True, crash) for crash in recording.states(journal=False)]
        for number, (is_end, crash) in enumerate(states):
            folder = crash.write(tmp_path / "crashes" / str(number))
            found = check_whole(folder / "run", known)
            assert found == "new" or not is_end

    with pytest.raises((AssertionError, OSError, ValueError)):
        replay()


def _lasting(root: Path, change: Callable[[], object]) -> list[Tree]:
    """The states of the disk after a crash immediately after a change."""
    with recorded(root) as recording:
        change()
    return [crash.tree for crash in recording.states(journal=False)]


def test_each_change_outlasts_a_crash(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()

    def path(name: str) -> str:
        return str(root / name)

    tree: Tree = {"a": None, "a/b": None, "a/b/c": b"text"}
    states = _lasting(root, lambda: write_text(path("a/b/c"), "text"))
    assert states == [tree] * len(states)
    tree |= {"a/d": b"whole"}
    states = _lasting(root, lambda: write_whole(path("a/d"), b"whole", path("a")))
    assert states == [tree] * len(states)
    del tree["a/d"]
    tree |= {"a/b/d": b"whole"}
    states = _lasting(root, lambda: move([(path("a/d"), path("a/b/d"))]))
    assert states == [tree] * len(states)
    states = _lasting(root, lambda: remove(path("a")))
    assert states == [{}] * len(states)
    states = _lasting(root, lambda: write_failure(str(root), {}))
    assert all(json.loads(tree["failed.json"] or b"") for tree in states)


def test_what_is_replaced_whole_is_old_or_new_at_each_moment(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    (root / "page.html").write_bytes(b"old")
    with recorded(root) as recording:
        write_whole(str(root / "page.html"), b"new", str(root))
    found = {crash.tree["page.html"] for crash in recording.crashes(seeds=20, journal=False)}
    assert found == {b"old", b"new"}
