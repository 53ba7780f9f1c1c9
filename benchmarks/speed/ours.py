"""latentbeam as its users run it.

Usage: python -m benchmarks.speed.ours NAME INPUT BUNDLE OUTPUT
"""

import sys
from pathlib import Path

from benchmarks.speed.programs import measure
from pipelines.score import score


def latentbeam(uri: str, bundle: Path, output: Path) -> None:
    """`latentbeam score` as it stands."""
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


if __name__ == "__main__":
    measure({f.__name__: f for f in (latentbeam, one_worker, two_workers)}, sys.argv[1:])
