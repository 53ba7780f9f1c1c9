"""Keeping a folder of an object store, where there are no locks, to one run at a time.

A run has a small object of its own there, `.lease-...`, written anew every so often by a thread.
Whoever finds another's that is fresh goes away; one that is old belongs to a run that died, and is
taken away. Ages are told by the store's own clock: a run compares the times of both objects, of
which it has just written its own. As every run writes first and looks then, two that begin at the
same moment both see each other, and both go away.

It is no lock: a process that was stopped for longer than `LeaseTimes.dead_after` may find that
another has taken the folder. `check` tells it so, and a run in parts asks after each part. Nothing
asks while a pipeline works, which may finish its run in another process: of two whole runs, the
first to finish stays, as `finish_run` takes nobody's results away unless it is told to.
"""

import contextlib
import dataclasses
import json
import os
import posixpath
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator

from apache_beam.io.filesystem import FileMetadata

from ae_models.errors import OutputError
from transforms.storage import remote
from transforms.storage.files import open_binary
from transforms.storage.paths import check_no_pattern
from transforms.storage.remote import client_errors
from transforms.storage.staging import output_errors

_PREFIX = ".lease-"


@dataclasses.dataclass(frozen=True)
class LeaseTimes:
    """How often a lease is renewed, and how old one is taken for a dead run's, in seconds.

    Raises:
      ValueError: a lease that is renewed in time would look dead.
    """

    renewed_every: float = 20.0
    dead_after: float = 120.0

    def __post_init__(self) -> None:
        if not 0 < self.renewed_every < self.dead_after:
            raise ValueError(f"a lease is renewed before it looks dead. Received: {self!r}")


USUAL_TIMES = LeaseTimes()


@contextlib.contextmanager
def leased(output: str, times: LeaseTimes = USUAL_TIMES) -> Iterator[Callable[[], None]]:
    """Gives a function that raises OutputError if another run has taken the folder.

    Raises:
      OutputError: another run has it, or it cannot be written to.
    """
    check_no_pattern(output)
    lease = _Lease(output, times)
    lease.acquire()
    try:
        yield lease.check
    finally:
        lease.release()


class _Lease:
    def __init__(self, output: str, times: LeaseTimes):
        self._output, self._times = output, times
        self._path = posixpath.join(output, f"{_PREFIX}{uuid.uuid4().hex}")
        self._ended, self._lost = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def acquire(self) -> None:
        with output_errors(self._output):
            self._write()
            try:
                self._look_around()
            except BaseException:
                self._delete(self._path)
                raise
        self._thread.start()

    def check(self) -> None:
        if self._lost.is_set() or not self._is_there():
            raise OutputError(
                f"another run has taken {self._output}: this one did not renew its lease in time"
            )

    def release(self) -> None:
        self._ended.set()
        self._thread.join()
        self._delete(self._path)

    def _write(self) -> None:
        who = {"host": socket.gethostname(), "process": os.getpid(), "time": time.time()}
        with remote.create_object(self._path, "application/json") as file:
            file.write(json.dumps(who).encode())

    def _look_around(self) -> None:
        """Raises OutputError if another run lives; takes away the leases of those that died."""
        leases = remote.matched(posixpath.join(self._output, f"{_PREFIX}*"))
        found = {metadata.path: metadata for metadata in leases}
        now = self._time(found.pop(self._path))
        for path, metadata in found.items():
            if now - self._time(metadata) <= self._times.dead_after:
                raise OutputError(f"another run is writing to {self._output}{_who(path)}")
            self._delete(path)

    def _time(self, metadata: FileMetadata) -> float:
        """By the store's clock, or where it tells none by that of the lease's host."""
        return metadata.last_updated_in_seconds or float(_content(metadata.path).get("time", 0))

    def _keep(self) -> None:
        while not self._ended.wait(self._times.renewed_every):
            with contextlib.suppress(OSError), client_errors():  # the next time, perhaps
                if not remote.object_exists(self._path):
                    self._lost.set()
                    return
                self._write()

    def _is_there(self) -> bool:
        with output_errors(self._output):
            return remote.object_exists(self._path)

    @staticmethod
    def _delete(path: str) -> None:
        with contextlib.suppress(OSError), client_errors():  # old, it is taken for a dead one's
            remote.delete([path])


def _content(path: str) -> dict[str, float | str]:
    """What a lease says; nothing if it is gone by now."""
    try:
        with open_binary(path) as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _who(path: str) -> str:
    found = _content(path)
    return (
        f" ({found['host']}, process {found['process']})"
        if {"host", "process"} <= set(found)
        else ""
    )
