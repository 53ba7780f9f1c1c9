"""Whether a folder may be written to, and what an unfinished run has left in it."""

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
    """Raises OutputError if `output` is a file, cannot be looked into, or holds results, or an
    unfinished run's checkpoints, that may not be overwritten.

    Args:
      output: the run folder.
      overwrite: whether what is there may be taken away.
      run_id: of a run whose own results and checkpoints do not count.
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
        raise OutputError(f"cannot look into {output}: {error}") from error
    if overwrite:
        return
    if held:
        raise OutputError(
            f"{output} holds results already ({', '.join(held)}): "
            "choose another folder, or give --overwrite"
        )
    if (plan := read_plan(output)) is not None and plan.run_id != run_id:
        raise OutputError(
            f"{output} holds a run that is not finished: "
            "--resume goes on with it, --overwrite starts anew"
        )


def check_not_within(inner: str, outer: str) -> None:
    """Raises OutputError if `inner` lies, or would lie, within the folder `outer`: what is in a
    result's folder is read, and taken away, with it."""
    inside, outside = (
        os.path.realpath(path) if is_local(path) else path.rstrip("/") for path in (inner, outer)
    )
    if inside.startswith(f"{outside.rstrip('/')}/"):
        raise OutputError(f"{inner} lies within {outer}: choose another folder")


def discard_unfinished(output: str, run_id: str | None = None) -> None:
    """Takes away what an unfinished run in parts has left, unless it is the run `run_id`.

    Raises:
      OutputError: it cannot be removed.
    """
    try:
        plan = read_plan(output)
    except OutputError:  # it cannot be read: nor can it be gone on with
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
    """A file in the staging folder, there once earlier results are gone: what stands in their
    places now is the run's own."""
    return posixpath.join(staging_folder(output, run_id), _REMOVED)


def _holds(output: str, name: str) -> bool:
    """Whether the file, or a file in the folder, is there."""
    path = posixpath.join(output, name)
    if is_local(path) and os.path.isdir(path):
        return bool(os.listdir(path))
    return exists(path) or (not is_local(path) and bool(files_below(path)))
