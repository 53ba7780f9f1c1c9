"""Whether a folder may be written to, and what an unfinished run left in it."""

import os
import posixpath

from ae_models.errors import OutputError
from transforms.runs.checkpoint_plan import read_plan, remove_plan
from transforms.runs.ledger import RESULTS
from transforms.storage.changes import remove
from transforms.storage.files import exists, files_below
from transforms.storage.paths import check_no_pattern, is_local
from transforms.storage.remote import client_errors
from transforms.storage.staging import output_errors, staging_folder

_REMOVED = "earlier-results-removed"


def check_free(output: str, overwrite: bool, run_id: str | None = None) -> None:
    """Raises OutputError if `output` is a file, cannot be accessed, or contains results, or an
    unfinished run's checkpoints, that may not be overwritten.

    Args:
      output: the run folder.
      overwrite: whether what is there may be removed.
      run_id: the id of a run whose own results and checkpoints are allowed.
    """
    if is_local(output) and os.path.exists(output) and not os.path.isdir(output):
        raise OutputError(f"{output} is not a folder")
    check_no_pattern(output)
    try:
        with client_errors():
            if run_id is not None and exists(finishing_mark(output, run_id)):
                return
            held = [name for name in RESULTS if _holds(output, name)]
    except OSError as error:
        raise OutputError(f"cannot access {output}: {error}") from error
    if overwrite:
        return
    if held:
        raise OutputError(
            f"{output} already contains results ({', '.join(held)}): "
            "choose another folder, or give --overwrite"
        )
    if (plan := read_plan(output)) is not None and plan.run_id != run_id:
        raise OutputError(
            f"{output} contains an unfinished run: "
            "give --resume to continue it, or --overwrite to start over"
        )


def check_not_within(inner: str, outer: str) -> None:
    """Raises OutputError if `inner` is, or would be, within the folder `outer`: the contents of a
    result's folder are read and removed with it."""
    inside, outside = (
        os.path.realpath(path) if is_local(path) else path.rstrip("/") for path in (inner, outer)
    )
    if inside.startswith(f"{outside.rstrip('/')}/"):
        raise OutputError(f"{inner} is inside {outer}: choose another folder")


def discard_unfinished(output: str, run_id: str | None = None) -> None:
    """Removes what an unfinished run in parts left, unless it is the run `run_id`.

    Raises:
      OutputError: it cannot be removed.
    """
    try:
        plan = read_plan(output)
    except OutputError:  # unreadable, so it cannot be resumed either
        plan = None
    if plan is not None and plan.run_id == run_id:
        return
    remove_plan(output)
    if plan is not None:
        with output_errors(output):
            remove(staging_folder(output, plan.run_id))


def is_finishing(output: str, run_id: str) -> bool:
    """Whether `finish_run` has begun to move the run's files."""
    with output_errors(output):
        return exists(finishing_mark(output, run_id))


def finishing_mark(output: str, run_id: str) -> str:
    """A file in the staging folder that exists once earlier results are removed: from then on, the
    files in their places are the run's own."""
    return posixpath.join(staging_folder(output, run_id), _REMOVED)


def _holds(output: str, name: str) -> bool:
    """Whether the file, or any file in the folder, exists."""
    path = posixpath.join(output, name)
    if is_local(path) and os.path.isdir(path):
        return bool(os.listdir(path))
    return exists(path) or (not is_local(path) and bool(files_below(path)))
