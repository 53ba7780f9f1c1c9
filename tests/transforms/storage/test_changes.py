"""Changes of files: only the named ones, and what remains after a change that fails."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.object_store import ROOT, BucketFileSystem, get, objects, put
from transforms.storage.changes import make_folder, move, remove, remove_files, write_text
from transforms.storage.files import present


def _names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("name", ["run[1]", "run*", "run?", "run"])
def test_a_local_name_is_no_pattern(tmp_path: Path, name: str) -> None:
    for other in ("run1", "run2", "runs"):
        write_text(str(tmp_path / other), "mine")
    before = _names(tmp_path)
    folder = tmp_path / name
    make_folder(str(folder / "scores"))
    write_text(str(folder / "a"), "a")
    move([(str(folder / "a"), str(folder / "scores" / "b"))])
    assert (folder / "scores" / "b").read_text() == "a"
    remove(str(folder / "scores" / "b"))
    assert _names(folder) == ["scores"]
    remove(str(folder))
    assert _names(tmp_path) == before


def test_what_is_not_there_is_removed_and_what_is_there_is_made(tmp_path: Path) -> None:
    remove(str(tmp_path / "none"))
    make_folder(str(tmp_path))
    make_folder(str(tmp_path / "deep" / "folder"))
    assert _names(tmp_path) == ["deep", "deep/folder"]


def test_a_link_is_removed_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    write_text(str(tmp_path / "kept" / "a"), "mine")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "broken").symlink_to(tmp_path / "none")
    remove(str(tmp_path / "link"))
    remove(str(tmp_path / "broken"))
    assert _names(tmp_path) == ["kept", "kept/a"]


def test_files_that_could_not_be_moved_can_be_moved_again(tmp_path: Path) -> None:
    pairs = [(str(tmp_path / str(n)), str(tmp_path / "new" / str(n))) for n in range(5)]
    for old, _ in pairs:
        write_text(old, old)
    make_folder(f"{tmp_path}/new/2/in the way")
    with pytest.raises(OSError, match="directory"):
        move(pairs)
    remove(f"{tmp_path}/new/2")
    left = present([old for old, _ in pairs], str(tmp_path))
    assert 0 < len(left) < 5
    move([pair for pair in pairs if pair[0] in left])
    assert [Path(new).read_text() for _, new in pairs] == [old for old, _ in pairs]


def test_objects_that_could_not_be_moved_can_be_moved_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copying one file fails, and deleting another, which is then in both places."""
    monkeypatch.setenv(ROOT, str(tmp_path))
    pairs = [(f"bucket://b/old/{n:03d}", f"bucket://b/new/{n:03d}") for n in range(250)]
    for old, _ in pairs:
        put(old, old.encode())
    failing = {("copy", pairs[120][1]), ("delete", pairs[130][0])}

    def fail(change: str, path: str) -> None:
        if (change, path) in failing:
            raise ConnectionError("503")

    monkeypatch.setattr(BucketFileSystem, "on_change", fail)
    with pytest.raises(OSError, match="Rename operation failed"):
        move(pairs)
    monkeypatch.setattr(BucketFileSystem, "on_change", None)
    left = present([old for old, _ in pairs], "bucket://b/old")
    assert left >= {old for old, _ in (pairs[120], pairs[130])}
    moved = present([new for _, new in pairs], "bucket://b/new")
    assert moved == {new for old, new in pairs if old not in left} | {pairs[130][1]}
    move([pair for pair in pairs if pair[0] in left])
    assert objects() == [new for _, new in pairs]


def _requests(
    monkeypatch: pytest.MonkeyPatch, at_once: int, change: Callable[[], None]
) -> tuple[int, int]:
    """The number of requests to move or delete files, and of threads that made them; the first
    `at_once` requests are answered once all of them are in progress."""
    under_way, threads = threading.Barrier(at_once, timeout=60), list[int]()

    def request(name: str) -> None:
        if name in ("rename", "delete"):
            threads.append(threading.get_ident())
            if len(threads) <= at_once:
                under_way.wait()

    with monkeypatch.context() as patch:
        patch.setattr(BucketFileSystem, "on_request", request)
        change()
    return len(threads), len(set(threads))


@pytest.mark.parametrize(("files", "requests"), [(1, 1), (20, 10), (160, 16), (1601, 17)])
def test_objects_are_changed_in_lists_of_which_sixteen_are_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int, requests: int
) -> None:
    monkeypatch.setenv(ROOT, str(tmp_path))
    pairs = [(f"bucket://b/old/{n:05d}", f"bucket://b/new/{n:05d}") for n in range(files)]
    for old, _ in pairs:
        put(old, old.encode())
    new, at_once = [path for _, path in pairs], min(requests, 16)
    assert _requests(monkeypatch, at_once, lambda: move(pairs)) == (requests, at_once)
    assert objects() == new
    assert get(new[-1]) == pairs[-1][0].encode()
    assert _requests(monkeypatch, at_once, lambda: remove_files(new)) == (requests, at_once)
    assert objects() == []


def test_no_list_is_begun_after_a_failure_and_those_that_are_under_way_end_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT, str(tmp_path))
    paths = [f"bucket://b/{n:05d}" for n in range(2400)]
    for path in paths:
        put(path, b"")
    under_way, changed = threading.Barrier(16), list[str]()

    def fail(change: str, path: str) -> None:
        first = int(path[-5:]) % 100 == 0
        if first and int(path[-5:]) < 1600:
            under_way.wait(60)
        if path == paths[0]:
            raise ConnectionError("503")
        if first:
            time.sleep(0.1)
        changed.append(path)

    monkeypatch.setattr(BucketFileSystem, "on_change", fail)
    with pytest.raises(ConnectionError, match="503"):
        remove_files(paths)
    told = len(changed)
    assert 1500 <= told < 2400 - 100
    assert set(objects()) == set(paths) - set(changed)
    time.sleep(0.2)
    assert len(changed) == told
    monkeypatch.setattr(BucketFileSystem, "on_change", None)
    remove_files(objects())
    assert objects() == []
