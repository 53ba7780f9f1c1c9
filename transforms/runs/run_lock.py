"""Reserving a run folder for one run at a time."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator

from ae_models.errors import OutputError
from transforms.runs.checkpoint_plan import read_plan
from transforms.runs.lease import USUAL_TIMES, LeaseTimes, leased
from transforms.runs.ledger import FAILED
from transforms.storage import local
from transforms.storage.paths import is_local
from transforms.storage.staging import STAGING, output_errors, staging_folder


@contextlib.contextmanager
def held(output: str, times: LeaseTimes = USUAL_TIMES) -> Iterator[Callable[[], None]]:
    """Reserves a run folder for this process, and yields a function that raises OutputError if the
    process no longer holds it.

    A local folder is locked; the system releases the lock if the process dies. A folder on an
    object store is `leased`. What crashed runs, or this one if it fails, left in a local folder is
    removed, except what is needed to resume a run in parts.

    Args:
      output: the run folder.
      times: the times of a lease.

    Raises:
      OutputError: another run holds the folder, or it cannot be written to.
    """
    if not is_local(output):
        with leased(output, times) as check:
            yield check
        return
    with output_errors(output):
        local.make_folder(output)
        # Also if another process has just created the folder.
        local.flush_folders([os.path.dirname(output.rstrip("/"))])
        folder = os.open(output, os.O_RDONLY)  # not inherited by worker processes
    try:
        locked = _locked(folder, output)
        with output_errors(output), tempfile.TemporaryFile(dir=output):
            pass
        if locked:
            _remove_abandoned(output)
            with contextlib.suppress(OSError):
                local.remove(os.path.join(output, FAILED))
        try:
            yield lambda: _check_same(folder, output)
        except BaseException:
            if locked and _is_same(folder, output):
                _remove_abandoned(output)
            raise
        finally:
            if locked and _is_same(folder, output):
                with contextlib.suppress(OSError):  # an empty folder: the run never started
                    local.remove_if_empty(output)
    finally:
        os.close(folder)


def _locked(folder: int, output: str) -> bool:
    """Returns False on a network file system without locks: of two runs, the first to finish
    wins."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(f"another run is writing to {output}") from error
    except OSError:
        return False
    _check_same(folder, output)
    return True


def _check_same(folder: int, output: str) -> None:
    if not _is_same(folder, output):
        raise OutputError(f"{output} was removed while the run was in progress: rerun its command")


def _is_same(folder: int, output: str) -> bool:
    """Whether the folder with this name is the open one."""
    try:
        return os.path.samestat(os.stat(output), os.fstat(folder))
    except OSError:
        return False


def _remove_abandoned(output: str) -> None:
    """Removes what crashed runs left; the holder of the folder knows that none is alive."""
    try:
        plan = read_plan(output)
        kept = None if plan is None else os.path.basename(staging_folder(output, plan.run_id))
        names = os.listdir(output)
    except (OSError, OutputError):  # no folder, or a plan that only --overwrite removes
        return
    for name in names:
        if name.startswith(STAGING) and name != kept:
            with contextlib.suppress(OSError):  # the next run tries again
                local.remove(os.path.join(output, name))
