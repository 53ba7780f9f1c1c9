"""Runs that are killed while they work."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.project import PROJECT


def kill(command: list[str], when: Callable[[], bool]) -> None:
    """Starts a command and kills it, and it alone, as soon as `when` holds."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, cwd=PROJECT)
    until = time.monotonic() + 120
    while not when() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()


def parts_done(run: Path) -> int:
    """How many parts of an unfinished run are."""
    return len(list(run.glob(".staging-*/done-*.json")))
