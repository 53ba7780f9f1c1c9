"""`latentbeam score` run as a user runs it, and what its rows come to."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.digest import digest
from deploy.local import flink_cluster
from deploy.local.artifacts import job_server, prism

FLINK_JOB = "rows-from-every-engine"
ENGINES: dict[str, Callable[[], list[str]]] = {
    "DirectRunner": lambda: ["--runner=DirectRunner"],
    "DirectRunner, two processes": lambda: [
        "--direct_running_mode=multi_processing",
        "--direct_num_workers=2",
    ],
    "PrismRunner": lambda: ["--runner=PrismRunner", f"--prism_location={prism()}"],
    "FlinkRunner": lambda: [
        *flink_cluster.flags(),
        "--parallelism=2",
        f"--job_name={FLINK_JOB}",
    ],
    "FlinkRunner, LOOPBACK": lambda: [
        *(flag for flag in flink_cluster.flags() if not flag.startswith("--environment_")),
        *("--environment_type=LOOPBACK", "--parallelism=2"),
    ],
    "SparkRunner": lambda: [
        "--runner=SparkRunner",
        "--spark_master_url=local[2]",
        f"--spark_job_server_jar={job_server('spark')}",
    ],
}


@dataclass(frozen=True)
class Outcome:
    """Of a finished run."""

    runner: str
    folder: Path
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
    return Outcome(runner, output, seconds, ledger, digest(output))


def succeed(runner: str, command: Sequence[str]) -> None:
    """Runs a command, which has to end well."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, f"{runner}: {done.stderr[-4000:]}"
