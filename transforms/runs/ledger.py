"""The names in a run folder, and its ledger `run.json`: read, and held against the files."""

import json
import posixpath
from collections.abc import Mapping
from typing import Any

from ae_models.errors import InputError
from transforms.storage.changes import write_text
from transforms.storage.files import exists, files_below, open_binary
from transforms.storage.paths import check_one
from transforms.storage.remote import client_errors

FORMAT_VERSION = 1
LEDGER, SUCCESS = "run.json", "_SUCCESS"
SCORES, REJECTS, PASSED_OVER = "scores", "rejects", "passed_over"
CLUSTERS, CLASSES = "clusters", "classes"  # made of a run's latents, in folders of their own
MODEL = "model.npz"  # that made them
FAILED = "failed.json"  # why the last run ended early: no result, and in nobody's way
# As they are taken away.
RESULTS = (SUCCESS, LEDGER, SCORES, REJECTS, PASSED_OVER, CLUSTERS, CLASSES, MODEL)


def finished_ledger(output: str) -> dict[str, Any] | None:
    """The `run.json` of a finished run; None if there is none, or it cannot be read."""
    try:
        return read_ledger(output)
    except InputError:
        return None


def write_failure(output: str, facts: Mapping[str, Any]) -> None:
    """Writes `failed.json`: why a run ended, and what it had counted. The next run that begins
    here, or on an object store succeeds, takes it away.

    Raises:
      OSError: it cannot be written.
    """
    text = json.dumps({"format_version": FORMAT_VERSION, **facts}, indent=2)
    with client_errors():
        write_text(posixpath.join(output, FAILED), text + "\n")


def read_ledger(output: str) -> dict[str, Any]:
    """The `run.json` of a finished run.

    Raises:
      InputError: `output` is no folder of a finished run.
    """
    check_one(output)
    try:
        finished = exists(posixpath.join(output, SUCCESS))
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
    the folder would take them for results.

    Raises:
      InputError: `output` is no folder of a finished run, or cannot be listed.
    """
    listed = set(result_files(output, SCORES, REJECTS))
    try:
        found = [p for kind in (SCORES, REJECTS) for p in files_below(posixpath.join(output, kind))]
    except OSError as error:
        raise InputError(f"cannot look into {output}: {error}") from error
    return sorted(set(found) - listed)
