"""The plan of a run in parts: a small file in its folder, written before the first part starts and
removed when the run has finished."""

import dataclasses
import json
import posixpath
from collections.abc import Mapping
from typing import Any

from ae_models.errors import OutputError
from transforms.storage.changes import remove, write_whole
from transforms.storage.files import exists, open_binary
from transforms.storage.staging import output_errors, staging_folder

PLAN = ".checkpoints.json"
_FORMAT_VERSION = 1
_LONGEST_VALUE = 100


@dataclasses.dataclass(frozen=True)
class Plan:
    """A run's id, the number of records per part, and everything its rows depend on, by name."""

    run_id: str
    every: int
    rows_depend_on: dict[str, Any]


def read_plan(output: str) -> Plan | None:
    """The plan of the unfinished run in the folder; None if there is none.

    Raises:
      OutputError: the plan cannot be read.
    """
    path = posixpath.join(output, PLAN)
    try:
        if not exists(path):
            return None
        with open_binary(path) as file:
            found = json.load(file)
        if found.pop("format_version") != _FORMAT_VERSION:
            raise ValueError("unknown format")
        return Plan(**found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputError(f"cannot read {path}: {error}; give --overwrite to start over") from error


def write_plan(output: str, plan: Plan) -> None:
    """Writes the plan. Raises OutputError if it cannot be written."""
    text = json.dumps({"format_version": _FORMAT_VERSION, **vars(plan)}, indent=2)
    staging = staging_folder(output, plan.run_id)
    with output_errors(output):
        write_whole(posixpath.join(output, PLAN), f"{text}\n".encode(), staging)


def remove_plan(output: str) -> None:
    """Removes the plan, if it exists. Raises OutputError if it cannot be removed."""
    with output_errors(output):
        remove(posixpath.join(output, PLAN))


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The differences in what two runs' rows depend on, as `NAME was X and is Y`."""
    found = []
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new)
        elif old != new:
            found.append(f"{name} was {_short(old)} and is {_short(new)}")
    return found


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
