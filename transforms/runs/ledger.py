"""The names in a run folder, and reading and checking its ledger, `run.json`."""

import json
import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any

from ae_models.errors import InputError
from transforms.records.text import printable_facts
from transforms.storage.changes import write_text
from transforms.storage.files import exists, files_below, read_whole
from transforms.storage.paths import check_one
from transforms.storage.remote import client_errors

FORMAT_VERSION = 1
LEDGER, SUCCESS = "run.json", "_SUCCESS"
SCORES, REJECTS, PASSED_OVER = "scores", "rejects", "passed_over"
REGIONS, MAPS, TILES = "regions", "maps", "tiles"  # of scored records, if available
CLUSTERS, CLASSES = "clusters", "classes"  # computed from a run's latents, in separate folders
PICTURES = "map_pictures"  # named by the rows of maps
MODEL = "model.npz"  # the fitted model of clusters or classes
FAILED = "failed.json"  # why the last run ended early; not a result, and may be overwritten
_MOST_BYTES = 256 << 20  # of a ledger: some two million files
# In the order of removal.
_OF_A_RUN = (SCORES, REJECTS, PASSED_OVER, REGIONS, MAPS, TILES)
RESULTS = (SUCCESS, LEDGER, *_OF_A_RUN, PICTURES, CLUSTERS, CLASSES, MODEL)
_FOLDERS = "|".join((*_OF_A_RUN, CLUSTERS, CLASSES))
_PATH = re.compile(rf"({_FOLDERS})/(?!\.)[^/\\\0]+")
_OF_ROWS = (SCORES, REJECTS, REGIONS, MAPS, TILES)
_SHA256 = re.compile(r"[0-9a-f]{64}")


class DamagedLedgerError(InputError):
    """A folder marked as a finished run, whose ledger is damaged or was changed."""


def finished_ledger(output: str) -> dict[str, Any] | None:
    """The `run.json` of a finished run; None if it does not exist or cannot be read."""
    try:
        return read_ledger(output)
    except InputError:
        return None


def write_failure(output: str, facts: Mapping[str, Any]) -> None:
    """Writes `failed.json`: why a run ended, and its counts. The next run in this folder removes
    it, when it starts or, on an object store, when it succeeds.

    Raises:
      OSError: the file cannot be written.
    """
    text = json.dumps({"format_version": FORMAT_VERSION, **printable_facts(facts)}, indent=2)
    with client_errors():
        write_text(posixpath.join(output, FAILED), text + "\n")


def read_ledger(output: str) -> dict[str, Any]:
    """The `run.json` of a finished run.

    Raises:
      InputError: `output` contains no finished run.
      DamagedLedgerError: it is marked as finished, but its ledger cannot be read or is invalid.
    """
    check_one(output)
    path = posixpath.join(output, LEDGER)
    try:
        finished = exists(posixpath.join(output, SUCCESS))
    except OSError as error:
        raise InputError(f"cannot access {output}: {error}") from error
    if not finished:
        raise InputError(
            f"{output} contains no finished run: there is no {SUCCESS} in it; if score was "
            "interrupted, rerun its command with --resume"
        )
    try:
        ledger = json.loads(read_whole(path, _MOST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedLedgerError(f"cannot read {path}: {error}") from error
    if not isinstance(ledger, dict):
        raise DamagedLedgerError(f"{path} has an unknown format")
    if ledger.get("format_version") != FORMAT_VERSION:
        raise InputError(f"{path} has an unknown format")
    try:
        _check_ledger(ledger)
    except (ValueError, RecursionError) as error:
        raise DamagedLedgerError(f"{path} was changed: {error}") from error
    return ledger


def kinds_in(ledger: Mapping[str, Any]) -> tuple[str, ...]:
    """The folders of a finished run's rows: those of every run, and others that its ledger
    counts."""
    located = (kind for kind in (REGIONS, MAPS, TILES) if kind in ledger)
    return (SCORES, REJECTS, PASSED_OVER, *located)


def result_files(output: str, *kinds: str) -> list[str]:
    """The files of the given kinds of a finished run's rows, according to its ledger.

    Raises:
      InputError: `output` contains no finished run.
    """
    paths = [file["path"] for file in read_ledger(output)["files"]]
    return [posixpath.join(output, path) for path in paths if path.partition("/")[0] in kinds]


def unlisted_files(output: str) -> list[str]:
    """Files among a finished run's rows that its ledger does not list: readers of the folder would
    mistake them for results.

    Raises:
      InputError: `output` contains no finished run, or cannot be listed.
    """
    listed = set(result_files(output, *_OF_ROWS))
    try:
        found = [p for kind in _OF_ROWS for p in files_below(posixpath.join(output, kind))]
    except OSError as error:
        raise InputError(f"cannot list {output}: {error}") from error
    return sorted(set(found) - listed)


def _check_ledger(ledger: Any) -> None:
    """Raises ValueError if a ledger lacks a required key, or a value has the wrong type."""
    if not isinstance(ledger, dict):
        raise ValueError("it is not a mapping")
    for name in ("run_id", "files"):
        if name not in ledger:
            raise ValueError(f"{name!r} is missing")
    for name, fits in _KINDS.items():
        if name in ledger and not fits(ledger[name]):
            raise ValueError(f"{name!r} cannot be {_short(ledger[name])}")
    seen = set()
    for file in ledger["files"]:
        if not _is_file(file):
            raise ValueError(f"'files' cannot contain {_short(file)}")
        if file["path"] in seen:
            raise ValueError(f"{file['path']} is listed twice")
        seen.add(file["path"])


def _is_file(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("path"), str)
        and _PATH.fullmatch(value["path"]) is not None
        and _is_count(value.get("rows"))
        and (value.get("sha256") is None or _is_digest(value["sha256"]))
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _mapping(**members: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Checks the types of the members that are present; a member may be None, for unknown."""

    def fits(value: Any) -> bool:
        return isinstance(value, dict) and all(
            value.get(name) is None or member(value[name]) for name, member in members.items()
        )

    return fits


def _is_counts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_count, value.values()))


def _is_records(value: Any) -> bool:
    """Whether it is a run's counts by kind of record, or the single count of a derived folder."""
    counts = dict.fromkeys(("read", "scored", "rejected", "excluded_by_where"), _is_count)
    return _is_count(value) or _mapping(**counts, rejected_by_reason=_is_counts)(value)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "run_id": _is_text,
    "files": lambda value: isinstance(value, list),
    "records": _is_records,
    "model": _mapping(
        path=_is_text,
        kind=_is_text,
        fingerprint=_is_text,
        primary_score=_is_text,
        fpr=_is_number,
        calibration_records=_is_count,
        thresholds=lambda value: (
            isinstance(value, dict) and all(v is None or _is_number(v) for v in value.values())
        ),
    ),
    "where": _list_of(_is_text),
    "inputs": _list_of(_is_text),
    "seconds": _is_number,
    "passed_over": _is_counts,
    **dict.fromkeys(("maps_of", "map_format"), lambda value: value is None or _is_text(value)),
    **dict.fromkeys((REGIONS, MAPS, TILES), _is_count),
    **dict.fromkeys(("options", "versions", "reading"), _mapping()),
    "relabelled": _mapping(regions_fpr=_is_number, **{"from": _mapping(fpr=_is_number)}),
}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
