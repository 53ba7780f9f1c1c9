"""latentbeam, as its users run it.

Usage: python -m benchmarks.speed.ours NAME INPUT BUNDLE OUTPUT
"""

import sys
from pathlib import Path

from benchmarks.speed.programs import measure
from deploy.local import flink_cluster
from pipelines.commands.score import score


def latentbeam(uri: str, bundle: Path, output: Path) -> None:
    """`latentbeam score` with its defaults."""
    score([uri], str(bundle), str(output), overwrite=True)


def _in_processes(uri: str, bundle: Path, output: Path, workers: int) -> None:
    flags = ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
    score([uri], str(bundle), str(output), beam_flags=flags, overwrite=True)


def one_worker(uri: str, bundle: Path, output: Path) -> None:
    """`latentbeam score` in one worker process."""
    _in_processes(uri, bundle, output, 1)


def two_workers(uri: str, bundle: Path, output: Path) -> None:
    """`latentbeam score` in two worker processes."""
    _in_processes(uri, bundle, output, 2)


def on_flink(uri: str, bundle: Path, output: Path) -> None:
    """`latentbeam score` on this machine's Flink cluster, in two slots."""
    flags = [*flink_cluster.flags(), "--parallelism=2"]
    score([uri], str(bundle), str(output), beam_flags=flags, overwrite=True)


if __name__ == "__main__":
    measure({f.__name__: f for f in (latentbeam, one_worker, two_workers, on_flink)}, sys.argv[1:])
