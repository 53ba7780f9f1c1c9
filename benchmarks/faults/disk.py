"""A disk that fills up in the middle of a run."""

import contextlib
import dataclasses
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.faults.finding import Fault, Finding
from benchmarks.faults.inputs import make_records
from benchmarks.faults.runs import command, ended, running
from benchmarks.speed.bundles import make_bundle

_RECORDS, _FILES = 1_000_000, 20
_SEED = 0


@dataclasses.dataclass(frozen=True)
class DiskFull(Fault):
    """The output is on a separate file system in memory that is too small for it.

    Mounting it requires root.

    Attributes:
      mebibytes: its size. Between a third of it and all but a few MiB are used before the run
        begins; the run would need two thirds.
    """

    mebibytes: int

    def try_out(self, cache: Path, trials: int, on_trial: Callable[[], object]) -> Finding:
        inputs = make_records(cache, _RECORDS, _FILES)
        bundle = make_bundle("dense", cache)
        generator = np.random.default_rng(_SEED)
        good, said = 0, ""
        started = time.monotonic()
        for _ in range(trials):
            with _small_disk(self.mebibytes) as disk:
                taken = int(generator.integers(self.mebibytes // 3, self.mebibytes - 4))
                (disk / "taken").write_bytes(bytes(taken << 20))
                output = disk / "run"
                with running(command(inputs, bundle, output)) as process:
                    status, said = ended(process)
                last = said.strip().splitlines()[-1]
                good += (
                    status > 0
                    and last.startswith("latentbeam: ")
                    and "No space left" in last
                    and not _results(output)
                )
            on_trial()
        return Finding(
            self.name,
            "one line reports it, the exit status is not 0, and there is no result",
            trials,
            good,
            0,
            time.monotonic() - started,
            f"{self.mebibytes} MiB, of which at least {self.mebibytes // 3} were already used",
        )


@contextlib.contextmanager
def _small_disk(mebibytes: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        mount = ["/bin/mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", folder]
        subprocess.run(mount, check=True, capture_output=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["/bin/umount", folder], check=True)


def _results(output: Path) -> list[Path]:
    """Whatever a reader of the folder could mistake for a result."""
    return [path for path in output.glob("*") if not path.name.startswith(".")]
