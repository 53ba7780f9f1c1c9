"""Whether a run has to be started, resumed, or is finished, according to its folder."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from ae_models.errors import OutputError
from transforms.records.text import printable_facts
from transforms.runs.checkpoint_plan import Plan, differences, read_plan
from transforms.runs.ledger import finished_ledger
from transforms.runs.output_folder import check_free, discard_unfinished

_BEFORE = {"--map_format": "parquet"}  # in runs that were started before the flag existed


def finished_or_plan(
    output: str, facts: Mapping[str, Any], every: int | None, resume: bool, overwrite: bool
) -> tuple[dict[str, Any] | None, Plan | None]:
    """Determines what remains to be done in a run folder that this process holds, and removes what
    must not stay.

    Args:
      output: the run folder.
      facts: of the run, as in its future ledger.
      every: records per part; None: as in the unfinished run, or no parts.
      resume: continue an unfinished run, and keep a finished one, if it has the same facts.
      overwrite: start afresh over anything else.

    Returns:
      The ledger of the finished run, if there is nothing left to do; and the plan, None for a run
      that is not divided into parts.

    Raises:
      OutputError: the folder's contents may not be overwritten, or belong to another run.
    """
    now = _rows_depend_on(facts)
    plan = None if overwrite and not resume else read_plan(output)
    finished = finished_ledger(output)
    if plan is not None and finished is not None and finished.get("run_id") == plan.run_id:
        discard_unfinished(output)  # it was interrupted while cleaning up
        plan = None
    if resume and plan is not None:
        then = plan.rows_depend_on
        then = then | {name: value for name, value in _BEFORE.items() if name not in then}
        changed = differences(then, now) + _other_size(plan.every, every)
        if not changed:
            check_free(output, overwrite, plan.run_id)
            return None, plan
        _refuse(f"cannot resume the unfinished run in {output}", changed, overwrite)
    elif resume and finished is not None:
        changed = differences(_rows_depend_on(finished), now)
        if not changed:
            return finished, None
        _refuse(f"the finished run in {output} is a different one", changed, overwrite)
    check_free(output, overwrite)
    discard_unfinished(output)
    return None, None if every is None else Plan(uuid.uuid4().hex, every, now)


def _rows_depend_on(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a ledger that change rows, by the names that people know."""
    model = facts.get("model", {})
    found = {
        "--input": facts.get("inputs"),
        "--where": facts.get("where"),
        "how inputs are read": facts.get("reading") or None,
        "the bundle": model.get("fingerprint"),
        "--fpr": model.get("fpr"),
        "--outputs": model.get("outputs"),
        "--primary": model.get("primary_score"),
        "--error_maps": facts.get("error_maps"),
        "--maps": facts.get("maps_of"),
        "--map_format": facts.get("map_format", _BEFORE["--map_format"]),
        "--tiles": facts.get("tiles_kept", False),
        "--portable_schema": facts.get("portable_schema"),
        "relabelled": facts.get("relabelled"),
        "versions": facts.get("versions"),
    }
    return json.loads(json.dumps(printable_facts(found)))


def _other_size(planned: int, every: int | None) -> list[str]:
    return differences({"--checkpoint_every": planned}, {"--checkpoint_every": every or planned})


def _refuse(what: str, changed: list[str], overwrite: bool) -> None:
    if not overwrite:
        raise OutputError(f"{what}: {'; '.join(changed)} (give --overwrite to start over)")
