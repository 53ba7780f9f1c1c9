"""The run folder: its staging area, its ledger `run.json`, and `_SUCCESS`, written last."""

import collections
import json
import os
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apache_beam.io.filesystems import FileSystems

from ae_models.errors import InputError, OutputError
from transforms.records.tallies import EXCLUDED, PASSED_OVER, READ
from transforms.runs.checkpoint_plan import read_plan, remove_plan
from transforms.runs.shards import Shard, rejected_by_reason
from transforms.storage.files import (
    check_no_pattern,
    client_errors,
    files_below,
    is_local,
    open_binary,
)
from transforms.storage.staging import output_errors, staging_folder

FORMAT_VERSION = 1
LEDGER, SUCCESS = "run.json", "_SUCCESS"
SCORES, REJECTS = "scores", "rejects"
CLUSTERS, CLASSES = (
    "clusters",
    "classes",
)  # what is made of a run's latents, in folders of their own
MODEL = "model.npz"  # that made them
FAILED = "failed.json"  # why the last run ended early: no result, and in nobody's way
# In the order in which they are taken away.
_RESULTS = (SUCCESS, LEDGER, SCORES, REJECTS, CLUSTERS, CLASSES, MODEL)
_REMOVED = "earlier-results-removed"  # a mark in the staging folder


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
            if run_id is not None and FileSystems.exists(_mark(output, run_id)):
                return
            held = [name for name in _RESULTS if _holds(output, name)]
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


def finish_run(
    output: str,
    run_id: str,
    shards: Iterable[Shard],
    facts: Mapping[str, Any],
    overwrite: bool = False,
    kinds: Sequence[str] = (SCORES, REJECTS),
    model: str | None = None,
) -> dict[str, Any]:
    """Moves a run's shards to their places, then writes the ledger, and `_SUCCESS` last.

    What an earlier run left is taken away first, its `_SUCCESS` before anything else: at no time
    does a folder with `_SUCCESS` hold files of two runs. Runners try failed work again, so this
    may be called again at any point and goes on from there.

    Args:
      output: the run folder.
      run_id: of this run, which `staging_folder` was made with.
      shards: the finished files of the run.
      facts: what the ledger says besides the files.
      overwrite: whether results of another run may be taken away.
      kinds: the folders of the result, which are there even if no shard is.
      model: a staged file that becomes `MODEL`; None where the result has none.

    Returns:
      The ledger.

    Raises:
      OutputError: another run has finished here since this one began, and `overwrite` is not set.
    """
    with output_errors(output):
        if _exists(output, SUCCESS):
            finished = finished_ledger(output)
            if finished is not None and finished.get("run_id") == run_id:
                remove(staging_folder(output, run_id))
                return finished
        places = _places(shards, kinds)
        files = [{"path": place, "rows": shard.rows} for shard, place in places]
        ledger = {"format_version": FORMAT_VERSION, "run_id": run_id, **facts, "files": files}
        moves = [(shard.path, place) for shard, place in places]
        moves += [] if model is None else [(model, MODEL)]
        _finish(output, run_id, ledger, kinds, moves, overwrite)
        return ledger


def _finish(
    output: str,
    run_id: str,
    ledger: Mapping[str, Any],
    kinds: Iterable[str],
    moves: Sequence[tuple[str, str]],
    overwrite: bool,
) -> None:
    staging = staging_folder(output, run_id)
    staged = _staged(output, run_id, moves)
    # On a full disk this fails before anything stands in its place.
    _write(posixpath.join(staging, LEDGER), json.dumps(ledger, indent=2) + "\n")
    _remove_earlier(output, run_id, overwrite)
    for name in kinds:
        _make_folder(posixpath.join(output, name))
    for source, target in staged:
        FileSystems.rename([source], [target])
    if not _exists(output, LEDGER):  # an earlier attempt's
        FileSystems.rename([posixpath.join(staging, LEDGER)], [posixpath.join(output, LEDGER)])
    _write(posixpath.join(output, SUCCESS), "")
    remove(staging)


def finished_ledger(output: str) -> dict[str, Any] | None:
    """The `run.json` of a finished run; None if there is none, or it cannot be read."""
    try:
        return read_ledger(output)
    except InputError:
        return None


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


def write_failure(output: str, facts: Mapping[str, Any]) -> None:
    """Writes `failed.json`: why a run ended, and what it had counted. The next run that begins
    here, or on an object store succeeds, takes it away.

    Raises:
      OSError: it cannot be written.
    """
    text = json.dumps({"format_version": FORMAT_VERSION, **facts}, indent=2)
    with client_errors():
        _write(posixpath.join(output, FAILED), text + "\n")


def remove(path: str) -> None:
    """Deletes a file, or a folder with all that is in it; nothing if neither is there."""
    if FileSystems.exists(path):
        FileSystems.delete([path])
    # Where there are no folders, files outlive what they are thought to lie in.
    if not is_local(path) and (below := files_below(path)):
        FileSystems.delete(below)


def count_records(
    shards: Sequence[Shard], tallies: Mapping[str, int], rejects_known: bool
) -> dict[str, Any]:
    """The ledger's counts. `read` is counted where records are read, the others where they are
    written, so that one can be held against the other; None means not known."""
    rows = collections.Counter[str]()
    for shard in shards:
        rows[shard.kind] += shard.rows
    return {
        "records": {
            "read": tallies.get(READ),
            "scored": rows[SCORES],
            "rejected": rows[REJECTS] if rejects_known else None,
            "rejected_by_reason": rejected_by_reason(shards),
            "excluded_by_where": tallies.get(EXCLUDED, 0),
        },
        "files_passed_over": tallies.get(PASSED_OVER, 0),
    }


def read_ledger(output: str) -> dict[str, Any]:
    """The `run.json` of a finished run.

    Raises:
      InputError: `output` is no folder of a finished run.
    """
    try:
        with client_errors():
            finished = _exists(output, SUCCESS)
    except OSError as error:
        raise InputError(f"cannot look into {output}: {error}") from error
    if not finished:
        raise InputError(f"{output} holds no finished run: there is no {SUCCESS} in it")
    try:
        with open_binary(posixpath.join(output, LEDGER)) as file:
            ledger = json.load(file)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {posixpath.join(output, LEDGER)}: {error}") from error
    if not isinstance(ledger, dict) or ledger.get("format_version") != FORMAT_VERSION:
        raise InputError(f"{posixpath.join(output, LEDGER)} is of no known format")
    return ledger


def result_files(output: str, *kinds: str) -> list[str]:
    """The files of a finished run's scores, rejects or both, by its ledger.

    Raises:
      InputError: `output` is no folder of a finished run.
    """
    paths = [file["path"] for file in read_ledger(output)["files"]]
    return [posixpath.join(output, path) for path in paths if path.partition("/")[0] in kinds]


def unlisted_files(output: str) -> list[str]:
    """Files among a finished run's scores and rejects that its ledger does not know: a reader of
    the folder would take them for results."""
    listed = set(result_files(output, SCORES, REJECTS))
    patterns = [posixpath.join(output, kind, "*") for kind in (SCORES, REJECTS)]
    found = [m.path for result in FileSystems.match(patterns) for m in result.metadata_list]
    return sorted(path for path in set(found) - listed if not path.endswith("/"))


def _places(shards: Iterable[Shard], kinds: Sequence[str]) -> list[tuple[Shard, str]]:
    """Each shard with its path in the run folder: ordered by the records, not by random names."""
    shards, places = list(shards), []
    for kind in kinds:
        ordered = sorted(
            (shard for shard in shards if shard.kind == kind),
            key=lambda shard: (shard.first_id, shard.path),
        )
        total = len(ordered)
        places += [
            (shard, f"{kind}/part-{number:05d}-of-{total:05d}.parquet")
            for number, shard in enumerate(ordered)
        ]
    return places


def _remove_earlier(output: str, run_id: str, overwrite: bool) -> None:
    """Once a run; the mark says that what stands there now is this run's own."""
    mark = _mark(output, run_id)
    if FileSystems.exists(mark):
        return
    check_free(output, overwrite, run_id)
    for name in (*_RESULTS, FAILED):
        remove(posixpath.join(output, name))
    discard_unfinished(output, run_id)
    _write(mark, "")


def is_finishing(output: str, run_id: str) -> bool:
    """Whether `finish_run` has begun to move the run's files."""
    with output_errors(output):
        return bool(FileSystems.exists(_mark(output, run_id)))


def _mark(output: str, run_id: str) -> str:
    return posixpath.join(staging_folder(output, run_id), _REMOVED)


def _exists(output: str, name: str) -> bool:
    return bool(FileSystems.exists(posixpath.join(output, name)))


def _holds(output: str, name: str) -> bool:
    """Whether the file, or a file in the folder, is there."""
    path = posixpath.join(output, name)
    if is_local(path) and os.path.isdir(path):
        return bool(os.listdir(path))
    return bool(FileSystems.exists(path)) or (not is_local(path) and bool(files_below(path)))


def _make_folder(path: str) -> None:
    if not FileSystems.exists(path):
        FileSystems.mkdirs(path)


def _staged(output: str, run_id: str, moves: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The files that are still to be moved, and where to. One that is not there was moved by an
    earlier attempt, or the run has lost it."""
    begun, staged = FileSystems.exists(_mark(output, run_id)), []
    for path, place in moves:
        if FileSystems.exists(path):
            staged.append((path, posixpath.join(output, place)))
        elif not (begun and _exists(output, place)):
            raise OutputError(f"{path} is gone: the run cannot be finished")
    return staged


def _write(path: str, text: str) -> None:
    with FileSystems.create(path, mime_type="text/plain") as file:
        file.write(text.encode())
