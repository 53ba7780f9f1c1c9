"""How long the command takes to show its help."""

import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.speed.outcome import Measure, Outcome


@dataclasses.dataclass(frozen=True)
class Help(Measure):
    """Wall seconds of `latentbeam --help`, a process of its own each time."""

    at_most: float

    def runs(self, rounds: int) -> int:
        return rounds

    def take(self, cache: Path, rounds: int, on_run: Callable[[], object]) -> Outcome:
        del cache
        seconds = []
        for _ in range(rounds):
            seconds.append(_seconds())
            on_run()
        return Outcome(self.name, tuple(seconds), self.at_most, at_most=True, unit="s")


def _seconds() -> float:
    command = Path(sys.executable).with_name("latentbeam")
    started = time.monotonic()
    subprocess.run([command, "--help"], check=True, capture_output=True)
    return time.monotonic() - started
