"""Items tried by worker processes, which are watched: a crash, a hang or too much memory is a
finding, and the next item goes to a new process."""

import collections
import dataclasses
import itertools
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HANG_SECONDS, MOST_BYTES = 10.0, 1_500_000_000
_START_SECONDS = 300.0
_ROOT = Path(__file__).parents[2]
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclasses.dataclass
class Findings:
    """What came of a target's items."""

    target: str
    seed: int
    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    slowest: float = 0.0
    peak: int = 0
    failures: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @property
    def tried(self) -> int:
        """Items of which something came, failures included."""
        return sum(self.counts.values()) + len(self.failures)


class _Worker:
    """A process that tries items of one target."""

    def __init__(self, target: str, seed: int, bundle: Path | None):
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", target, str(seed), str(bundle or "")],
            cwd=_ROOT,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.peak = 0
        greeting = self._answer(_START_SECONDS)
        if "batch" not in greeting:
            raise RuntimeError(f"a worker for {target} does not start: {greeting}")
        self.batch: int = greeting["batch"]

    def ask(self, start: int, stop: int, **more: str) -> dict[str, Any]:
        """The answer for a range of items, or `failure`: `hang`, `memory` or a signal's number."""
        request = json.dumps({"start": start, "stop": stop, **more})
        assert self._process.stdin is not None
        self._process.stdin.write(f"{request}\n".encode())
        self._process.stdin.flush()
        return self._answer(HANG_SECONDS)

    def _answer(self, seconds: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        deadline = time.monotonic() + seconds
        while not select.select([self._process.stdout], [], [], 0.02)[0]:
            if time.monotonic() > deadline:
                return self._failed("hang")
            if self._resident() > MOST_BYTES:
                return self._failed("memory")
        line = self._process.stdout.readline()
        if not line:
            return self._failed(f"exit status {self._process.wait()}")
        answer = json.loads(line)
        self.peak = answer.get("peak", 0)
        if self.peak > MOST_BYTES:
            return self._failed("memory")
        return answer

    def _failed(self, why: str) -> dict[str, Any]:
        self.close()
        return {"failure": why}

    def _resident(self) -> int:
        try:
            statm = Path(f"/proc/{self._process.pid}/statm").read_text().split()
        except OSError:
            return 0
        return int(statm[1]) * _PAGE if len(statm) > 1 else 0

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        with self._process:  # closes the pipes
            self._process.wait()


def campaign(
    target: str,
    count: int,
    seed: int = 0,
    processes: int = 2,
    seconds: float | None = None,
    bundle: Path | None = None,
    keep: Path | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Findings:
    """Tries the items 0 to `count`, or as many as there is time for.

    Args:
      target: one of `targets.targets`.
      processes: at once.
      seconds: after which no more items are begun.
      bundle: of which changed copies are made.
      keep: a folder for the items that failed.
      on_progress: called with the number of items done since.
    """
    findings, lock, place = Findings(target, seed), threading.Lock(), iter(range(count))
    deadline = time.monotonic() + (seconds or 1e9)

    def taken(size: int) -> range:
        with lock:
            numbers = list(itertools.islice(place, size))
        return range(numbers[0], numbers[-1] + 1) if numbers else range(0)

    def lane() -> None:
        worker = _Worker(target, seed, bundle)
        while time.monotonic() < deadline and (numbers := taken(worker.batch)):
            worker = _tried(worker, numbers, findings, lock, bundle, keep)
            on_progress(len(numbers))
        worker.close()

    with ThreadPoolExecutor(processes) as pool:
        for done in [pool.submit(lane) for _ in range(processes)]:
            done.result()
    return findings


def _tried(
    worker: _Worker,
    numbers: range,
    findings: Findings,
    lock: threading.Lock,
    bundle: Path | None,
    keep: Path | None,
) -> _Worker:
    """The worker to go on with. Of a range that fails, the items are tried one by one."""
    answer = worker.ask(numbers.start, numbers.stop)
    if "counts" in answer:
        with lock:
            findings.counts.update(answer["counts"])
            findings.slowest = max(findings.slowest, answer["slowest"])
            findings.peak = max(findings.peak, worker.peak)
        return worker
    if "failure" in answer:
        worker = _Worker(findings.target, findings.seed, bundle)
    if len(numbers) > 1:
        for number in numbers:
            worker = _tried(worker, range(number, number + 1), findings, lock, bundle, keep)
        return worker
    with lock:
        findings.failures.append({"number": numbers.start, **answer})
    if keep is not None:
        worker.ask(numbers.start, numbers.stop, keep=str(keep))
    return worker
