"""Seconds and peak memory of programs, each run in a fresh process."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Measured:
    """Wall seconds of the work alone, imports left out; the greatest resident set of the process or
    of any process that it started, as the operating system counts it."""

    seconds: float
    peak_mebibytes: float


def run_program(name: str, arguments: Sequence[str | Path]) -> Measured:
    """Runs a program of `programs` by its name.

    Raises:
      RuntimeError: it failed; with what it wrote to its standard error.
    """
    command = [sys.executable, "-m", "benchmarks.speed.programs", name, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{name} failed:\n{result.stderr[-2000:]}")
    return Measured(**json.loads(result.stdout.splitlines()[-1]))
