"""The run folder: its staging area, its ledger `run.json`, and `_SUCCESS`, written last."""

import collections
import contextlib
import fcntl
import json
import os
import posixpath
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from apache_beam.io.filesystems import FileSystems

from ae_models.errors import InputError, OutputError
from transforms.files import client_errors, files_below, is_glob, is_local, open_binary
from transforms.shards import Shard, rejected_by_reason
from transforms.tallies import EXCLUDED, PASSED_OVER, READ

FORMAT_VERSION = 1
LEDGER, SUCCESS = "run.json", "_SUCCESS"
SCORES, REJECTS = "scores", "rejects"
FAILED = "failed.json"  # why the last run ended early: no result, and in nobody's way
# In the order in which they are taken away.
_RESULTS = (SUCCESS, LEDGER, SCORES, REJECTS)
_STAGING = ".staging-"


def staging_folder(output: str, run_id: str) -> str:
    """Where a run's files lie until it has succeeded; readers pass over dotted names."""
    return posixpath.join(output, f"{_STAGING}{run_id}")


def check_free(output: str, overwrite: bool) -> None:
    """Raises OutputError if `output` is a file, cannot be looked into, or holds results that may
    not be overwritten."""
    if is_local(output) and os.path.exists(output) and not os.path.isdir(output):
        raise OutputError(f"{output} is not a folder")
    check_no_pattern(output)
    try:
        with client_errors():
            held = [name for name in _RESULTS if _holds(output, name)]
    except OSError as error:
        raise OutputError(f"cannot look into {output}: {error}") from error
    if held and not overwrite:
        raise OutputError(
            f"{output} holds results already ({', '.join(held)}): "
            "choose another folder, or give --overwrite"
        )


def check_no_pattern(output: str) -> None:
    """Raises OutputError if object stores would take `output` for a pattern: what is deleted there
    might be someone else's."""
    if not is_local(output) and is_glob(output):
        raise OutputError(
            f"an output on an object store cannot have any of *?[. Received: {output}"
        )


@contextlib.contextmanager
def held(output: str) -> Iterator[None]:
    """Keeps a local run folder to this process; the system lets go of it when the process dies.

    Raises:
      OutputError: another run holds it, or it cannot be made.
    """
    if not is_local(output):
        yield
        return
    try:
        os.makedirs(output, exist_ok=True)
        folder = os.open(output, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"cannot write to {output}: {error.strerror}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove_abandoned(output)
    except BlockingIOError as error:
        os.close(folder)
        raise OutputError(f"another run is writing to {output}") from error
    except OSError:
        # A network file system without locks: of two runs, the first to finish stays.
        pass
    try:
        yield
    finally:
        os.close(folder)
        with contextlib.suppress(OSError):  # an empty folder of a run that never began
            os.rmdir(output)


def _remove_abandoned(output: str) -> None:
    """Takes away what runs that died or failed have left; who holds the folder knows that none
    lives."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(os.path.join(output, FAILED))
    for name in os.listdir(output):
        if name.startswith(_STAGING):
            shutil.rmtree(os.path.join(output, name))


def finish_run(
    output: str,
    run_id: str,
    shards: Iterable[Shard],
    facts: Mapping[str, Any],
    overwrite: bool = False,
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

    Returns:
      The ledger.

    Raises:
      OutputError: another run has finished here since this one began, and `overwrite` is not set.
    """
    staging = staging_folder(output, run_id)
    if _exists(output, SUCCESS):
        with contextlib.suppress(InputError):  # no ledger, or one that cannot be read
            finished = read_ledger(output)
            if finished.get("run_id") == run_id:
                remove(staging)
                return finished
    _remove_earlier(output, staging, overwrite)
    places = _places(shards)
    for name in (SCORES, REJECTS):
        _make_folder(posixpath.join(output, name))
    for shard, place in places:
        _move(shard.path, posixpath.join(output, place))
    files = [{"path": place, "rows": shard.rows} for shard, place in places]
    ledger = {"format_version": FORMAT_VERSION, "run_id": run_id, **facts, "files": files}
    _write(posixpath.join(output, LEDGER), json.dumps(ledger, indent=2) + "\n")
    _write(posixpath.join(output, SUCCESS), "")
    remove(staging)
    return ledger


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


def _places(shards: Iterable[Shard]) -> list[tuple[Shard, str]]:
    """Each shard with its path in the run folder: ordered by the records, not by random names."""
    places = []
    for kind in (SCORES, REJECTS):
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


def _remove_earlier(output: str, staging: str, overwrite: bool) -> None:
    """Once a run; the mark says that what stands there now is this run's own."""
    mark = posixpath.join(staging, "earlier-results-removed")
    if FileSystems.exists(mark):
        return
    check_free(output, overwrite)
    for name in (*_RESULTS, FAILED):
        remove(posixpath.join(output, name))
    _write(mark, "")


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


def _move(source: str, target: str) -> None:
    """A source that is not there was moved by an earlier attempt, or the run has lost a file."""
    if FileSystems.exists(source):
        FileSystems.rename([source], [target])
    elif not FileSystems.exists(target):
        raise OutputError(f"{source} is gone: the run cannot be finished")


def _write(path: str, text: str) -> None:
    with FileSystems.create(path, mime_type="text/plain") as file:
        file.write(text.encode())
