"""Whether a result's folder is whole, by the digests of its files."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from transforms.runs.ledger import RESULTS, finished_ledger

Digests = dict[str, str]  # by the files' names


def digests(folder: Path) -> Digests:
    """Of all that a reader of a result's folder may read."""
    paths = [path for name in RESULTS for path in (folder / name, *(folder / name).rglob("*"))]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.is_file()
    }


def result_digests(folder: Path) -> tuple[str, Digests]:
    """The id of the finished run in a folder, and its files."""
    ledger = json.loads((folder / "run.json").read_text())
    assert (folder / "_SUCCESS").exists()
    assert finished_ledger(str(folder)) == ledger
    return str(ledger["run_id"]), digests(folder)


def check_whole(folder: Path, known: Mapping[str, Digests]) -> str | None:
    """The id of the run that is finished there, and as it is known; None if none is finished."""
    if not (folder / "_SUCCESS").exists():
        return None
    run_id, found = result_digests(folder)
    assert found == known[run_id]
    return run_id
