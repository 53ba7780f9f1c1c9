"""Exclusion patterns: git's interpretation is the oracle where both agree."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.storage.exclusion import excluder


@pytest.mark.parametrize(
    ("pattern", "excluded", "kept"),
    [
        ("*.tmp", ["a.tmp", "x/y/a.tmp", "d.tmp/", "d.tmp/a.png"], ["a.tmpx", "A.TMP", "a.png"]),
        ("raw/", ["raw/", "raw/a.png", "x/raw/a.png"], ["raw", "x/raw", "raws/"]),
        ("old/*.png", ["old/a.png"], ["x/old/a.png", "old/b/a.png", "old/"]),
        ("/notes", ["notes", "notes/", "notes/a"], ["x/notes"]),
        ("old/**", ["old/a", "old/b/c"], ["old/", "old", "x/old/a"]),
        ("**/old", ["old/", "x/y/old", "old/a"], ["olds"]),
        ("a/**/z.png", ["a/z.png", "a/b/z.png", "a/b/c/z.png"], ["z.png", "b/a/z.png"]),
        ("?.png", ["a.png", "x/b.png"], ["ab.png"]),
        ("a**b", ["ab", "axxb", "x/axb"], ["a/b"]),
        ("[a].png", ["[a].png"], ["a.png"]),
        ("!a", ["!a"], ["a"]),
        ("a b$.png", ["a b$.png"], ["a b.png"]),
        ("x\ny", ["x\ny"], ["x y"]),
    ],
)
def test_patterns(pattern: str, excluded: list[str], kept: list[str]) -> None:
    is_excluded = excluder([pattern])
    assert [path for path in excluded if not is_excluded(path)] == []
    assert [path for path in kept if is_excluded(path)] == []


def test_several_patterns_and_none() -> None:
    assert not excluder([])("a")
    either = excluder(["a", "b/c"])
    assert [either(path) for path in ("a", "b/c", "b", "ab/c")] == [True, True, False, False]


def _is_plain(pattern: str) -> bool:
    return bool(pattern.strip("/")) and "//" not in pattern and "***" not in pattern


def _is_path(path: str) -> bool:
    return "//" not in path and path == path.strip("/") and bool(path)


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git to ask")
@given(
    st.text("ab*?/", min_size=1, max_size=6).filter(_is_plain),
    st.lists(st.text("ab/", min_size=1, max_size=6).filter(_is_path), min_size=1, max_size=40),
)
@settings(max_examples=30, deadline=None)
def test_as_git_ignores(
    tmp_path_factory: pytest.TempPathFactory, pattern: str, paths: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("git")
    assert _ignored(folder, pattern, paths) == set(filter(excluder([pattern]), paths))


def _ignored(folder: Path, pattern: str, paths: list[str]) -> set[str]:
    rules = folder / "rules"
    rules.write_text(f"{pattern}\n")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    done = subprocess.run(
        ["git", "-c", f"core.excludesFile={rules}", "check-ignore", "--no-index", "--stdin", "-z"],
        input="\0".join(paths) + "\0",
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return set(filter(None, done.stdout.split("\0")))
