"""`latentbeam score` as a separate process that can be killed."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_WORKER = b"apache_beam.runners.worker.sdk_worker_main"
_SECONDS_AT_MOST = 300


def command(inputs: Path, bundle: Path, output: Path, flags: Sequence[str] = ()) -> list[str]:
    """The command line that scores a folder of Parquet files."""
    where = ["--input", f"{inputs}/*.parquet", "--model", str(bundle), "--output", str(output)]
    return [sys.executable, "-m", "pipelines.cli", "score", *where, *flags]


def finished(line: Sequence[str]) -> float:
    """Runs a command until it finishes, and returns the seconds.

    Raises:
      RuntimeError: it failed; the message contains the end of its output.
      TimeoutError: it hangs.
    """
    started = time.monotonic()
    with running(line) as process:
        status, said = ended(process)
    if status:
        raise RuntimeError(f"{' '.join(line[2:])} exited with {status}:\n{said[-2000:]}")
    return time.monotonic() - started


@contextlib.contextmanager
def running(line: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """The process, in its own group, all of which is killed afterwards."""
    with subprocess.Popen(
        line,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            kill_group(process)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit status of a process, and its error output.

    Raises:
      TimeoutError: it hangs.
    """
    try:
        _, said = process.communicate(timeout=_SECONDS_AT_MOST)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"it is still running after {_SECONDS_AT_MOST} s") from error
    return process.returncode, said


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kills a process and all that it has started, with SIGKILL."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The process ids of the Beam workers that a run has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != process.pid:
            with contextlib.suppress(OSError):
                in_group = os.getpgid(int(entry.name)) == process.pid
                # Beam starts each in a shell, whose command line is one argument.
                if in_group and _WORKER in (entry / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return sorted(found)
