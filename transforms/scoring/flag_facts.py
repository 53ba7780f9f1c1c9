"""What a run's ledger says of its flags: which score they are made of, from where, and whether any
can be set."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from ae_models.bundles.bundle import Bundle
from ae_models.bundles.names import SCORE_PREFIX
from ae_models.calibration.p_values import least_rate, none_flagged
from ae_models.calibration.score_calibration import calibration_of, thresholds


def calibration_facts(
    bundle: Bundle, primary: str | None, columns: Iterable[str], fpr: float
) -> dict[str, Any]:
    """Facts of a ledger's `model`.

    Args:
      bundle: that scores.
      primary: the score that flags are made of, by its name or its column's; None: the bundle's.
      columns: `score_<name>` of the run.
      fpr: a flagged record's p-value is at most that.

    Raises:
      ConfigError: the bundle has no such score.
    """
    chosen = calibration_of(bundle, primary)
    names = [column.removeprefix(SCORE_PREFIX) for column in columns]
    return {
        "primary_score": chosen.name,
        "fpr": fpr,
        "pareto_tail": None if chosen.tail is None else dataclasses.asdict(chosen.tail),
        "calibration_records": len(chosen.scores),
        "thresholds": thresholds(bundle, dict.fromkeys([chosen.name, *names]), fpr),
    }


def flags_nothing(ledger: Mapping[str, Any], advice: str) -> str | None:
    """A line for people where a run's calibration records are too few for any flag.

    Args:
      ledger: its `run.json`; one that does not say how many records there were is passed over.
      advice: what to do; `{rate}` in it is the least rate at which a record can be flagged.
    """
    model = ledger.get("model") or {}
    records, fpr = model.get("calibration_records"), model.get("fpr")
    by_discoveries = (ledger.get("relabelled") or {}).get("rule") == "fdr"
    if not records or not fpr or by_discoveries or model.get("pareto_tail") is not None:
        return None
    return none_flagged(records, fpr, advice.format(rate=least_rate(records)))
