"""Keeping a run folder to one run at a time."""

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
    """Keeps a run folder to this process, and gives a function that raises OutputError if it is
    not this process's any more.

    A local folder is locked, and the system lets go of it when the process dies; one of an object
    store is `leased`. What runs that died, or this one if it fails, have left in a local folder is
    taken away, but for what a run in parts can be gone on with.

    Args:
      output: the run folder.
      times: of a lease.

    Raises:
      OutputError: another run holds it, or it cannot be written to.
    """
    if not is_local(output):
        with leased(output, times) as check:
            yield check
        return
    with output_errors(output):
        local.make_folder(output)
        local.flush_folders([os.path.dirname(output.rstrip("/"))])  # one just made by another, too
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
                with contextlib.suppress(OSError):  # an empty folder of a run that never began
                    local.remove_if_empty(output)
    finally:
        os.close(folder)


def _locked(folder: int, output: str) -> bool:
    """False on a network file system without locks: of two runs, the first to finish stays."""
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
        raise OutputError(f"{output} was removed while the run was going on")


def _is_same(folder: int, output: str) -> bool:
    """Whether the folder of that name is the one that is open."""
    try:
        return os.path.samestat(os.stat(output), os.fstat(folder))
    except OSError:
        return False


def _remove_abandoned(output: str) -> None:
    """Takes away what runs that died have left; who holds the folder knows that none lives."""
    try:
        plan = read_plan(output)
        kept = None if plan is None else os.path.basename(staging_folder(output, plan.run_id))
        names = os.listdir(output)
    except (OSError, OutputError):  # no folder, or a plan that only --overwrite does away with
        return
    for name in names:
        if name.startswith(STAGING) and name != kept:
            with contextlib.suppress(OSError):  # the next run tries again
                local.remove(os.path.join(output, name))
