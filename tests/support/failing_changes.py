"""`transforms.storage.changes` as it is when a disk fails, or a process dies, among its changes; to
move some files is a change for each."""

from collections.abc import Callable, Sequence
from typing import Any

from transforms.storage import changes


class Unreliable:
    """The n-th change fails, before or after it is made; `check` is called before each."""

    def __init__(self, check: Callable[[], None], fail_at: int, when: str):
        self._check, self._fail_at, self._when, self._changes = check, fail_at, when, 0

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self._change(getattr(changes, name), *arguments)

    def move(self, pairs: Sequence[tuple[str, str]]) -> None:
        for pair in pairs:
            self._change(changes.move, [pair])

    def _change(self, original: Callable[..., None], *arguments: Any) -> None:
        self._check()
        self._changes += 1
        if self._changes == self._fail_at and self._when == "before":
            raise OSError("the disk is gone")
        original(*arguments)
        if self._changes == self._fail_at and self._when == "after":
            raise OSError("the disk is gone")


class Dies:
    """So many changes are made; before the next the process dies."""

    def __init__(self, left: int):
        self._left = left

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not self._left:
            raise KeyboardInterrupt
        self._left -= 1
        return getattr(changes, name)

    def move(self, pairs: Sequence[tuple[str, str]]) -> None:
        for pair in pairs:
            self.__getattr__("move")([pair])
