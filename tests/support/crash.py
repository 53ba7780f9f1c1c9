"""Crashes of the machine, replayed: what a folder may hold after one, at every moment of a run.

A recorder stands between Python and the system while a run goes on in this process. After each
change of names, and before and after each flush, it looks at the folder, and so finds what others
have written too, TensorFlow for one. What it keeps is a log: files made, written, renamed and
deleted, each `flushed` once the file's content, or a folder that holds the name, was.

After a crash, changes that were flushed are there. Of each other one nobody knows: names and
contents reach the disk in any order. A rename is one change, as it is on file systems with
journals, unless `journal=False` is given: then it is a name that comes and one that goes.
"""

import contextlib
import dataclasses
import functools
import hashlib
import os
import random
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# As the standard library calls them, `shutil.rmtree` and `pathlib` too.
_CHANGES = ("mkdir", "rename", "replace", "rmdir", "unlink", "remove", "link", "symlink")
_ROOT = 0

Tree = dict[str, bytes | None]  # relative paths; None of a folder


@dataclasses.dataclass(frozen=True)
class _Name:
    """A name in a folder: nodes are numbered as they are first seen."""

    folder: int
    name: str


@dataclasses.dataclass
class _NameChange:
    """`node` is called `new`, and not `old` any more; None: it was made, or deleted."""

    node: int
    old: _Name | None
    new: _Name | None
    begun: int
    folders_flushed: dict[int, int] = dataclasses.field(default_factory=dict)

    def is_flushed(self, moment: int, *names: _Name | None) -> bool:
        """Whether the folder of one of its names was."""
        found = (self.folders_flushed.get(name.folder) for name in names if name is not None)
        return any(flushed is not None and flushed <= moment for flushed in found)


@dataclasses.dataclass
class _Content:
    node: int
    data: bytes
    begun: int
    flushed: int | None = None


@dataclasses.dataclass(frozen=True)
class Crash:
    """A state of the disk after a crash.

    moment: after so many operations.
    how: which changes that were not flushed are there.
    tree: what is found.
    """

    moment: int
    how: str
    tree: Tree

    def digest(self) -> str:
        """The same of the same trees."""
        text = repr(sorted((k, v and hashlib.sha256(v).digest()) for k, v in self.tree.items()))
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

    def write(self, folder: Path) -> Path:
        """Makes it real; gives the folder."""
        folder.mkdir(parents=True)
        for name in sorted(self.tree):
            data = self.tree[name]
            if data is None:
                (folder / name).mkdir()
            else:
                (folder / name).write_bytes(data)
        return folder


class Recording:
    """What happened in a folder, which is durable as it was found.

    operations: what was done, with the paths, in order.
    """

    def __init__(self, root: Path):
        self._root = root
        self._lock = threading.RLock()
        self._pins: dict[int, int] = {}  # the system's number of a node, kept from use again: ours
        self._folders: set[int] = {_ROOT}
        self._names: dict[_Name, int] = {}
        self._seen: dict[int, tuple[int, int, bytes]] = {}
        self._changes: list[_NameChange] = []
        self._contents: list[_Content] = []
        self._open: list[int] = []
        self.operations: list[str] = []
        self._pin(os.stat(root), str(root))
        self._look()
        for change in self._changes:
            change.folders_flushed = dict.fromkeys(self._folders, 0)
        for content in self._contents:
            content.flushed = 0
        self.operations.clear()

    # Recording.

    def did(self, what: str, *paths: object) -> None:
        """Looks at the folder after an operation."""
        with self._lock:
            self.operations.append(" ".join([what, *map(str, paths)]))
            self._look()

    def flush(self, file: int) -> None:
        """Before it: what is written is there, and not flushed; then it is."""
        with self._lock:
            node = self._pins.get(os.fstat(file).st_ino)
            self.did("before fsync", node)
            node = self._pins.get(os.fstat(file).st_ino)
            if node is None:
                return  # outside, or without a name
            self.operations.append(f"fsync {node}")
            now = len(self.operations)
            for content in self._contents:
                if content.node == node and content.flushed is None:
                    content.flushed = now
            for change in self._changes:
                change.folders_flushed.setdefault(node, now)

    def _pin(self, found: os.stat_result, path: str) -> int:
        if found.st_ino not in self._pins:
            self._open.append(os.open(path, os.O_PATH | os.O_NOFOLLOW))
            self._pins[found.st_ino] = len(self._pins)
        return self._pins[found.st_ino]

    def close(self) -> None:
        """Lets go of the files that are kept from being forgotten."""
        for file in self._open:
            os.close(file)
        self._open.clear()

    def _look(self) -> None:
        now, names = len(self.operations), dict[_Name, int]()
        self._walk(_ROOT, str(self._root), names, now)
        before = {node: name for name, node in self._names.items()}
        after = {node: name for name, node in names.items()}
        for node, name in before.items():  # a folder's names before the folder
            if node not in after:
                replaced = name in names
                if not replaced:
                    self._changes.append(_NameChange(node, name, None, now))
        for node, name in after.items():
            if before.get(node) != name:
                self._changes.append(_NameChange(node, before.get(node), name, now))
        self._names = names

    def _walk(self, folder: int, path: str, names: dict[_Name, int], now: int) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for entry in sorted(os.scandir(path), key=lambda found: found.name):
                with contextlib.suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    node = self._pin(found, entry.path)
                    names[_Name(folder, entry.name)] = node
                    if stat.S_ISDIR(found.st_mode):
                        self._folders.add(node)
                        self._walk(node, entry.path, names, now)
                    elif stat.S_ISREG(found.st_mode):
                        self._read(node, entry.path, found, now)

    def _read(self, node: int, path: str, found: os.stat_result, now: int) -> None:
        size, time, data = self._seen.get(node, (-1, -1, b""))
        if (size, time) == (found.st_size, found.st_mtime_ns):
            return
        new = Path(path).read_bytes()
        self._seen[node] = (found.st_size, found.st_mtime_ns, new)
        if size < 0 or new != data:
            self._contents.append(_Content(node, new, now))

    # Replaying.

    def crashes(self, seeds: int = 2, journal: bool = True) -> Iterator[Crash]:
        """For every moment: only what was flushed; everything; all names, and of contents what was
        flushed; all contents, and of names what was flushed; and so often as `seeds` says changes
        drawn at random, files cut short among them. A state that the last moment had too is left
        out."""
        last: set[str] = set()
        for moment in range(len(self.operations) + 1):
            states = set()
            for crash in self.states(moment, seeds, journal):
                states.add(digest := crash.digest())
                if digest not in last:
                    last.add(digest)
                    yield crash
            last = states

    def states(
        self, moment: int | None = None, seeds: int = 2, journal: bool = True
    ) -> Iterator[Crash]:
        """Those of one moment, after so many operations; None: after all of them."""
        moment = len(self.operations) if moment is None else moment
        for how, names, contents in self._ways(seeds, moment):
            yield Crash(moment, how, self._tree(moment, names, contents, journal))

    def _ways(
        self, seeds: int, moment: int
    ) -> Iterator[tuple[str, Callable[[], bool], Callable[[bytes], bytes | None]]]:
        none: Callable[[bytes], bytes | None] = lambda data: None  # noqa: E731
        whole: Callable[[bytes], bytes | None] = lambda data: data  # noqa: E731
        yield "flushed", lambda: False, none
        yield "everything", lambda: True, whole
        yield "names", lambda: True, none
        yield "contents", lambda: False, whole
        for seed in range(seeds):
            drawn = random.Random(f"{seed} {moment}")

            def cut(data: bytes, drawn: random.Random = drawn) -> bytes | None:
                return drawn.choice([None, data, data[: drawn.randrange(len(data) + 1)]])

            yield f"drawn {seed}", lambda drawn=drawn: drawn.random() < 0.5, cut

    def _tree(
        self,
        moment: int,
        names: Callable[[], bool],
        contents: Callable[[bytes], bytes | None],
        journal: bool,
    ) -> Tree:
        data: dict[int, bytes] = {}
        for content in self._contents:
            if content.begun <= moment:
                is_flushed = content.flushed is not None and content.flushed <= moment
                found = content.data if is_flushed else contents(content.data)
                if found is not None:
                    data[content.node] = found
        folders: dict[int, dict[str, int]] = {}
        for change in self._changes:
            if change.begun <= moment:
                if journal:
                    both = change.is_flushed(moment, change.old, change.new) or names()
                    gone = come = both
                else:
                    gone = change.is_flushed(moment, change.old) or names()
                    come = change.is_flushed(moment, change.new) or names()
                self._rename(change, gone, come, folders)
        tree: Tree = {}
        self._lay_out(_ROOT, "", folders, data, tree)
        return tree

    @staticmethod
    def _rename(
        change: _NameChange, gone: bool, come: bool, folders: dict[int, dict[str, int]]
    ) -> None:
        if gone and change.old is not None:
            entries = folders.setdefault(change.old.folder, {})
            if entries.get(change.old.name) == change.node:
                del entries[change.old.name]
        if come and change.new is not None:
            folders.setdefault(change.new.folder, {})[change.new.name] = change.node

    def _lay_out(
        self,
        folder: int,
        path: str,
        folders: dict[int, dict[str, int]],
        data: dict[int, bytes],
        tree: Tree,
    ) -> None:
        for name, node in folders.get(folder, {}).items():
            if node in self._folders:
                tree[f"{path}{name}"] = None
                self._lay_out(node, f"{path}{name}/", folders, data, tree)
            else:
                tree[f"{path}{name}"] = data.get(node, b"")


@contextlib.contextmanager
def recorded(root: Path, *, without: str | None = None) -> Iterator[Recording]:
    """Records what this process does in a folder that is there.

    Args:
      root: the folder.
      without: flushes of files and folders whose paths hold this text are not recorded, as if
        someone had forgotten them.
    """
    recording = Recording(root)
    with pytest.MonkeyPatch.context() as patch:
        for name in _CHANGES:
            patch.setattr(os, name, _watched(recording, getattr(os, name), name))
        fsync = os.fsync

        def flush(file: Any) -> None:
            number = file if isinstance(file, int) else file.fileno()
            path = os.readlink(f"/proc/self/fd/{number}")
            if without is None or without not in path:
                recording.flush(number)
            else:
                recording.did("forgotten fsync", path)
            fsync(number)

        patch.setattr(os, "fsync", flush)
        try:
            yield recording
            recording.did("end")
        finally:
            recording.close()


def _watched(recording: Recording, original: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        recording.did(name, *arguments)
        return result

    return call
