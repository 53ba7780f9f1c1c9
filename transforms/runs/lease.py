"""Reserving a folder on an object store, which has no locks, for one run at a time.

Each run has a small object there, `.lease-...`, which a thread rewrites periodically. A run that
finds another's fresh lease gives up; an old lease belongs to a crashed run, and is removed. Ages
are measured by the store's clock: a run compares the other lease's time with that of its own, which
it has just written. As every run writes before it looks, two runs that start at the same moment see
each other, and both give up.

A lease is not a lock: a process that was suspended for longer than `LeaseTimes.dead_after` may find
that another has taken the folder. `check` detects this; a run in parts calls it after each part.
Nothing checks while a pipeline runs, which may finish its run in another process: of two runs
without parts, the first to finish wins, as `finish_run` removes no other run's results unless
`overwrite` is set.
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
    """How often a lease is renewed, and from which age its run is considered dead, in seconds.

    Raises:
      ValueError: a lease that is renewed on time would be considered dead.
    """

    renewed_every: float = 20.0
    dead_after: float = 120.0

    def __post_init__(self) -> None:
        if not 0 < self.renewed_every < self.dead_after:
            raise ValueError(f"renewed_every must be less than dead_after. Received: {self!r}")


USUAL_TIMES = LeaseTimes()


@contextlib.contextmanager
def leased(output: str, times: LeaseTimes = USUAL_TIMES) -> Iterator[Callable[[], None]]:
    """Yields a function that raises OutputError if another run has taken the folder.

    Raises:
      OutputError: another run holds the folder, or it cannot be written to.
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
        """Raises OutputError if another run is alive; removes the leases of crashed runs."""
        leases = remote.matched(posixpath.join(self._output, f"{_PREFIX}*"))
        found = {metadata.path: metadata for metadata in leases}
        now = self._time(found.pop(self._path))
        for path, metadata in found.items():
            if now - self._time(metadata) <= self._times.dead_after:
                raise OutputError(f"another run is writing to {self._output}{_who(path)}")
            self._delete(path)

    def _time(self, metadata: FileMetadata) -> float:
        """The lease's time by the store's clock or, if it reports none, by its host's clock."""
        return metadata.last_updated_in_seconds or float(_content(metadata.path).get("time", 0))

    def _keep(self) -> None:
        while not self._ended.wait(self._times.renewed_every):
            with contextlib.suppress(OSError), client_errors():  # retried the next time
                if not remote.object_exists(self._path):
                    self._lost.set()
                    return
                self._write()

    def _is_there(self) -> bool:
        with output_errors(self._output):
            return remote.object_exists(self._path)

    @staticmethod
    def _delete(path: str) -> None:
        with contextlib.suppress(OSError), client_errors():  # once old, it is considered dead
            remote.delete([path])


def _content(path: str) -> dict[str, float | str]:
    """The contents of a lease; empty if it no longer exists."""
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
