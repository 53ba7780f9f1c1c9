"""Time and peak memory of programs, each in a fresh process."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# tf.Transform, which Beam imports if installed, makes `tf.keras` Keras 2. Our code does not use
# `tf.keras`, but Beam's TensorFlow handler does.
_ENVIRONMENT = {"beside": {"TF_USE_LEGACY_KERAS": "0"}}
Program = Callable[[str, Path, Path], "float | None"]


@dataclasses.dataclass(frozen=True)
class Measured:
    """Wall seconds of the work alone, without imports; the peak resident set of the process,
    without its children, as reported by the operating system."""

    seconds: float
    peak_mebibytes: float


def run_program(module: str, name: str, arguments: Sequence[str | Path]) -> Measured:
    """Runs a program of a module of this package by its name.

    Raises:
      RuntimeError: it failed; the message contains its error output.
    """
    command = [sys.executable, "-m", f"benchmarks.speed.{module}", name, *map(str, arguments)]
    environment = os.environ | _ENVIRONMENT.get(module, {})
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if result.returncode:
        raise RuntimeError(f"{name} failed:\n{result.stderr[-2000:]}")
    return Measured(**json.loads(result.stdout.splitlines()[-1]))


def measure(programs: Mapping[str, Program], arguments: Sequence[str]) -> None:
    """The main function of a module of programs: NAME INPUT BUNDLE OUTPUT.

    A program that returns seconds excludes what is not part of its work.
    """
    name, uri, bundle, output = arguments
    started = time.monotonic()
    own = programs[name](uri, Path(bundle), Path(output))
    seconds = time.monotonic() - started if own is None else own
    print(json.dumps(dataclasses.asdict(Measured(seconds, peak_mebibytes()))))


def peak_mebibytes() -> float:
    """The peak of this process image alone; `getrusage` would include the forking process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
