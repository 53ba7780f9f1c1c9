"""SIGKILL at random moments: to an entire run, and to one of its worker processes."""

import dataclasses
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.digest import digest
from benchmarks.faults.finding import Fault, Finding
from benchmarks.faults.inputs import make_records
from benchmarks.faults.runs import command, ended, finished, kill_group, running, workers_of
from benchmarks.speed.bundles import make_bundle
from pipelines.commands.verify import verify

_RECORDS, _FILES = 40_000, 20
_SEED = 0


@dataclasses.dataclass(frozen=True)
class RunDies(Fault):
    """The run dies at a random moment, and is resumed.

    Attributes:
      checkpoint_every: in records.
    """

    checkpoint_every: int

    def try_out(self, cache: Path, trials: int, on_trial: Callable[[], object]) -> Finding:
        inputs = make_records(cache, _RECORDS, _FILES)
        bundle = make_bundle("dense", cache)
        flags = [f"--checkpoint_every={self.checkpoint_every}", "--resume"]
        good = lost = began = 0
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            expected, seconds = _undisturbed(inputs, bundle, Path(folder), flags)
            for moment in np.random.default_rng(_SEED).uniform(0, seconds, trials):
                output = Path(folder) / f"{moment}"
                line = command(inputs, bundle, output, flags)
                with running(line) as process:
                    time.sleep(moment)
                    kill_group(process)
                began += output.exists()
                finished(line)
                good += digest(output) == expected
                lost += _lost(output, inputs)
                on_trial()
        detail = f"{began} had started to write; a run takes {seconds:.0f} s"
        return Finding(
            self.name,
            "after resuming, it has the rows of an undisturbed run",
            trials,
            good,
            lost,
            time.monotonic() - started,
            detail,
        )


@dataclasses.dataclass(frozen=True)
class WorkerDies(Fault):
    """One of two local worker processes dies at a random moment."""

    def try_out(self, cache: Path, trials: int, on_trial: Callable[[], object]) -> Finding:
        inputs = make_records(cache, _RECORDS, _FILES)
        bundle = make_bundle("dense", cache)
        flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
        good = completed = 0
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            expected, seconds = _undisturbed(inputs, bundle, Path(folder), flags)
            for moment in np.random.default_rng(_SEED).uniform(0, seconds, trials):
                output = Path(folder) / f"{moment}"
                with running(command(inputs, bundle, output, flags)) as process:
                    _kill_worker(process, moment)
                    status = _status(process)
                if (output / "_SUCCESS").exists():
                    completed += 1
                    good += status == 0 and digest(output) == expected
                else:
                    good += status not in (0, None) and not (output / "scores").exists()
                on_trial()
        return Finding(
            self.name,
            "it fails without a result, or has the rows of an undisturbed run",
            trials,
            good,
            0,
            time.monotonic() - started,
            f"{completed} finished correctly, because the worker had no work left",
        )


def _undisturbed(inputs: Path, bundle: Path, folder: Path, flags: list[str]) -> tuple[str, float]:
    output = folder / "expected"
    seconds = finished(command(inputs, bundle, output, flags))
    return digest(output), seconds


def _lost(output: Path, inputs: Path) -> int:
    return verify(str(output), [f"{inputs}/*.parquet"]).get("missing", _RECORDS)


def _kill_worker(process: subprocess.Popen[str], moment: float) -> None:
    """Kills a worker at the moment, or as soon after it as there is one."""
    time.sleep(moment)
    while process.poll() is None:
        if workers := workers_of(process):
            os.kill(workers[0], signal.SIGKILL)
            return
        time.sleep(0.02)


def _status(process: subprocess.Popen[str]) -> int | None:
    """None if it hangs."""
    try:
        return ended(process)[0]
    except TimeoutError:
        return None
