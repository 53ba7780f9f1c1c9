"""What a run's ledger records about its flags: the score they are computed from, its thresholds,
and whether any record can be flagged at all."""

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
    """Calibration facts for a ledger's `model`.

    Args:
      bundle: the bundle that scores.
      primary: the name or column of the score that flags are computed from; if None, the bundle's
        primary score.
      columns: the run's `score_<name>` columns.
      fpr: the greatest p-value of a flagged record.

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
    """A one-line warning if a run has too few calibration records to flag anything, otherwise None.

    Args:
      ledger: the run's `run.json`; None is returned if it does not state the number of calibration
        records.
      advice: what to do; `{rate}` in it is the smallest rate at which a record can be flagged.
    """
    model = ledger.get("model") or {}
    records, fpr = model.get("calibration_records"), model.get("fpr")
    by_discoveries = (ledger.get("relabelled") or {}).get("rule") == "fdr"
    if not records or not fpr or by_discoveries or model.get("pareto_tail") is not None:
        return None
    return none_flagged(records, fpr, advice.format(rate=least_rate(records)))
