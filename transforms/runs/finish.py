"""Finishing a run: moving its files into place, then writing its ledger and, last, `_SUCCESS`."""

import collections
import json
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ae_models.errors import OutputError
from transforms.records.tallies import Tallies
from transforms.records.text import printable_facts
from transforms.runs.ledger import (
    FAILED,
    FORMAT_VERSION,
    LEDGER,
    MAPS,
    MODEL,
    PASSED_OVER,
    PICTURES,
    REGIONS,
    REJECTS,
    RESULTS,
    SCORES,
    SUCCESS,
    TILES,
    finished_ledger,
)
from transforms.runs.output_folder import check_free, discard_unfinished, finishing_mark
from transforms.runs.pictures import picture_moves
from transforms.runs.shards import Shard, rejected_by_reason
from transforms.storage import changes
from transforms.storage.files import exists, present
from transforms.storage.staging import output_errors, staging_folder


def count_records(
    shards: Sequence[Shard], tallies: Tallies, rejects_known: bool, kinds: Sequence[str] = ()
) -> dict[str, Any]:
    """The ledger's counts. `read` is counted where records are read, the others where they are
    written, so that they can be compared; None means unknown. Regions, maps and tiles are counted
    if they are among the kinds of rows."""
    rows = collections.Counter[str]()
    for shard in shards:
        rows[shard.kind] += shard.rows
    return {
        "records": {
            "read": tallies.read,
            "scored": rows[SCORES],
            "rejected": rows[REJECTS] if rejects_known else None,
            "rejected_by_reason": rejected_by_reason(shards),
            "excluded_by_where": tallies.excluded,
        },
        "files_passed_over": tallies.passed_over.files,
        "passed_over": tallies.passed_over.by_cause(),
        **{kind: rows[kind] for kind in (REGIONS, MAPS, TILES) if kind in kinds},
    }


def finish_run(
    output: str,
    run_id: str,
    *,
    shards: Iterable[Shard],
    facts: Mapping[str, Any],
    overwrite: bool = False,
    kinds: Sequence[str] = (SCORES, REJECTS, PASSED_OVER),
    model: str | None = None,
) -> dict[str, Any]:
    """Moves a run's shards into place, then writes the ledger and, last, `_SUCCESS`.

    The results of an earlier run are removed first, starting with its `_SUCCESS`: a folder with
    `_SUCCESS` never contains files of two runs. Runners retry failed work, so this function may be
    called again after an interruption at any point, and continues from there.

    Args:
      output: the run folder.
      run_id: the id of this run, as passed to `staging_folder`.
      shards: the finished files of the run.
      facts: contents of the ledger besides the files; bytes of a name that are not UTF-8 are
        written as `\\xe9`.
      overwrite: whether results of another run may be removed.
      kinds: the folders of the result, which are created even without shards.
      model: a staged file that becomes `MODEL`; None if the result has none.

    Returns:
      The ledger.

    Raises:
      OutputError: another run has finished in the folder since this one started, and `overwrite` is
        not set.
    """
    with output_errors(output):
        if exists(posixpath.join(output, SUCCESS)):
            finished = finished_ledger(output)
            if finished is not None and finished.get("run_id") == run_id:
                changes.remove(staging_folder(output, run_id))
                return finished
        places = _places(shards, kinds)
        files = [shard.listed(place) for shard, place in places]
        known = printable_facts(facts)
        ledger = {"format_version": FORMAT_VERSION, "run_id": run_id, **known, "files": files}
        moves = [(shard.path, place) for shard, place in places]
        moves += [] if model is None else [(model, MODEL)]
        _finish(
            output,
            run_id,
            ledger=ledger,
            kinds=kinds,
            pictures=lambda: _picture_moves(places, output),
            moves=moves,
            overwrite=overwrite,
        )
        return ledger


def _finish(
    output: str,
    run_id: str,
    *,
    ledger: Mapping[str, Any],
    kinds: Iterable[str],
    pictures: Callable[[], Iterable[Sequence[tuple[str, str]]]],
    moves: Sequence[tuple[str, str]],
    overwrite: bool,
) -> None:
    staging = staging_folder(output, run_id)
    staged = _staged(output, run_id, moves)
    for named in pictures():  # checks that all exist before an earlier result is removed
        _staged(output, run_id, named)
    # On a full disk this fails before anything is moved.
    changes.write_text(posixpath.join(staging, LEDGER), json.dumps(ledger, indent=2) + "\n")
    _remove_earlier(output, run_id, overwrite)
    for name in kinds:
        changes.make_folder(posixpath.join(output, name))
    # Before the rows that name them: another attempt finds unmoved pictures through staged rows.
    for named in pictures():
        changes.make_folder(posixpath.join(output, PICTURES))
        changes.move(_staged(output, run_id, named))
    changes.move(staged)
    if not exists(posixpath.join(output, LEDGER)):  # an earlier attempt's
        changes.move([(posixpath.join(staging, LEDGER), posixpath.join(output, LEDGER))])
    changes.write_text(posixpath.join(output, SUCCESS), "")
    changes.remove(staging)


def _places(shards: Iterable[Shard], kinds: Sequence[str]) -> list[tuple[Shard, str]]:
    """Each shard with its path in the run folder, ordered by its records, not by random names."""
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


def _picture_moves(
    places: Iterable[tuple[Shard, str]], output: str
) -> Iterator[list[tuple[str, str]]]:
    """The paths of the pictures that shards of maps name, and their places in the run folder."""
    for shard, place in places:
        if shard.kind == MAPS:
            read_from = shard.path if exists(shard.path) else posixpath.join(output, place)
            yield from picture_moves(shard, read_from)


def _remove_earlier(output: str, run_id: str, overwrite: bool) -> None:
    """Removes earlier results, once per run; the mark shows that later files are this run's own."""
    mark = finishing_mark(output, run_id)
    if exists(mark):
        return
    check_free(output, overwrite, run_id)
    for name in (*RESULTS, FAILED):
        changes.remove(posixpath.join(output, name))
    discard_unfinished(output, run_id)
    changes.write_text(mark, "")


def _staged(output: str, run_id: str, moves: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The files still to be moved, and their targets. A missing file was moved by an earlier
    attempt, or is lost."""
    targets = {path: posixpath.join(output, place) for path, place in moves}
    staged = present(targets, staging_folder(output, run_id))
    if missing := [path for path in targets if path not in staged]:
        begun = exists(finishing_mark(output, run_id))
        moved = present((targets[path] for path in missing), output) if begun else set()
        for path in missing:
            if targets[path] not in moved:
                raise OutputError(f"{path} is gone: the run cannot be finished; rerun its command")
    return [(path, target) for path, target in targets.items() if path in staged]
