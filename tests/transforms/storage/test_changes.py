"""Changes of files: the named ones and no others, and what is left of a change that fails."""

from pathlib import Path

import pytest

from tests.support.object_store import ROOT, BucketFileSystem, objects, put
from transforms.storage.changes import make_folder, move, remove, write_text
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
    """The copy of one fails, and the deletion of another: that one is then in both places."""
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
    assert left == {old for old, _ in (pairs[120], pairs[130], *pairs[200:])}
    assert present([new for _, new in pairs], "bucket://b/new") == {
        new for number, (_, new) in enumerate(pairs) if number != 120 and number < 200
    }
    move([pair for pair in pairs if pair[0] in left])
    assert objects() == [new for _, new in pairs]
