"""`latentbeam score` run as a user runs it, and what its rows come to."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.digest import digest


@dataclass(frozen=True)
class Outcome:
    """Of a finished run."""

    runner: str
    seconds: float
    ledger: dict[str, Any]
    digest: str

    def line(self) -> str:
        records = self.ledger["records"]
        counts = f"{records['scored']:>8,} {records['rejected']:>8,}"
        return f"{self.runner:<34} {counts} {self.seconds:>8.1f} {self.digest[:16]}"


def score_command(inputs: Path, bundle: Path, output: Path, flags: Sequence[str]) -> list[str]:
    arguments = [
        "--input",
        f"{inputs}/*.parquet",
        "--model",
        str(bundle),
        "--output",
        str(output),
        *flags,
    ]
    return [sys.executable, "-m", "pipelines.cli", "score", *arguments]


def score(
    runner: str, inputs: Path, bundle: Path, output: Path, flags: Sequence[str] = ()
) -> Outcome:
    started = time.monotonic()
    succeed(runner, score_command(inputs, bundle, output, flags))
    seconds = time.monotonic() - started
    ledger = json.loads((output / "run.json").read_text())
    return Outcome(runner, seconds, ledger, digest(output))


def succeed(runner: str, command: Sequence[str]) -> None:
    """Runs a command, which has to end well."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, f"{runner}: {done.stderr[-4000:]}"
