"""`latentbeam evaluate`: how well each score of a run separates anomalous from normal records."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from ae_models.bundles.names import SCORE_PREFIX
from ae_models.calibration.ranking import Ranked
from ae_models.calibration.ranking_intervals import measured_auroc, measured_average_precision
from ae_models.config.extras import require
from ae_models.errors import InputError
from pipelines.console.output_file import check_file
from pipelines.console.progress import Progress, say
from transforms.records.where import Where
from transforms.results.read_shards import score_columns
from transforms.results.summary import SCORE
from transforms.results.truth import Truth, read_numbers, read_truth
from transforms.runs.ledger import read_ledger
from transforms.scoring.flag_facts import flags_nothing

_CONFIDENCE = 0.95
_ADVICE = (
    "relabel with --fpr {rate:g} or more, or train with more calibration records and score again"
)


def evaluate(
    scores: str,
    anomalous: str,
    by: str | None = None,
    plot: str | None = None,
    masks: str | None = None,
) -> dict[str, Any]:
    """AUROC and average precision of every score of a run, each with an interval, and the rates of
    true and false flags. Records without a value in the condition's column are neither normal nor
    anomalous: they are excluded, and counted.

    Memory holds the labels and one score at a time, about 20 bytes per record; with `plot`, also
    the curves.

    Args:
      scores: the folder of the finished run.
      anomalous: the condition that says which records are truly anomalous.
      by: a column: the anomalous records with each of its values are also evaluated separately,
        against all normal ones.
      plot: the PNG file for ROC and precision-recall curves; None: no curves are drawn.
      masks: the folder of defect masks; None: pixels are not evaluated.

    Returns:
      `records`, `anomalous`, `unlabelled`; for the primary score `auroc`, `average_precision` and
      `flagged`; the intervals' `confidence`; `scores`, all measures of each score, the primary
      score first; `advice`, a line if no record can be flagged, or else None; with `by` also `by`,
      its `column` and its `kinds`, each with its `value`, `anomalous` and `scores`; with `masks`
      also `pixels`, as `evaluate_masks` returns it.

    Raises:
      InputError: there is no finished run, or no normal or no anomalous record.
      ConfigError: the condition or `by` names no column of the scores, or one with too many values.
      OutputError: the picture cannot be written.
      MissingExtraError: a picture is wanted, and matplotlib is not installed.
    """
    where = Where.parse(anomalous)
    if plot is not None:
        check_file(plot, ".png", "picture")
        require("plots", "matplotlib")
    ledger, truth = read_ledger(scores), read_truth(scores, where, by)
    records, found = int(truth.labelled.sum()), int(truth.anomalous.sum())
    if found in (0, records):
        raise InputError(
            f"{scores}: {found} of {records} records are anomalous ({where}); evaluation needs "
            "normal and anomalous records"
        )
    rows, curves = [], {}
    kinds: dict[str | None, list[dict[str, Any]]] = {value: [] for value in truth.kinds}
    anomalies = np.flatnonzero(truth.anomalous)
    wanted = _scores(scores, ledger)
    with Progress("evaluating", len(wanted), " scores") as progress:
        for score in wanted:
            read = _Evaluated.read(scores, score, truth)
            rows.append(read.row(anomalies))
            for value, chosen in truth.kinds.items():
                kinds[value].append(read.row(chosen))
            if plot is not None and rows[-1]["auroc"] is not None:
                curves[score.name] = read.ranked(anomalies)
            progress.show(len(rows))
    advice = flags_nothing(ledger, _ADVICE)
    if advice is not None:
        say(f"warning: {advice}")
    if plot is not None:
        _draw(plot, curves, rows[0]["flagged"], f"{scores}: {found} anomalous of {records} records")
    result = {
        "records": records,
        "anomalous": found,
        "unlabelled": len(truth.labelled) - records,
        **{name: rows[0][name] for name in ("auroc", "average_precision", "flagged")},
        "confidence": _CONFIDENCE,
        "scores": rows,
        "advice": advice,
    }
    if by is not None:
        told = [
            {"value": value, "anomalous": len(truth.kinds[value]), "scores": of_kind}
            for value, of_kind in kinds.items()
        ]
        result["by"] = {"column": by, "kinds": told}
    if masks is not None:
        from pipelines.commands.evaluate_masks import evaluate_masks  # noqa: PLC0415 - SciPy's

        result["pixels"] = evaluate_masks(scores, masks, where, by or where.column)
    return result


@dataclasses.dataclass(frozen=True)
class _Score:
    """One of a run's scores.

    Attributes:
      name: without its column's prefix.
      column: the column to read it from.
      is_primary: whether `is_anomaly` is computed from it.
      threshold: for other scores, the least value that is flagged; None if not known.
    """

    name: str
    column: str
    is_primary: bool
    threshold: float | None = None


def _scores(scores: str, ledger: Mapping[str, Any]) -> list[_Score]:
    """The primary score, then the others in the order of their columns."""
    model = ledger.get("model") or {}
    thresholds, primary = model.get("thresholds") or {}, model.get("primary_score")
    found = [_Score(SCORE if primary is None else primary, SCORE, is_primary=True)]
    for column in score_columns(scores):
        name = column.removeprefix(SCORE_PREFIX)
        if name == primary:
            continue
        threshold = thresholds.get(name)
        if name in thresholds and threshold is None:
            threshold = np.inf  # no value is flagged
        found.append(_Score(name, column, False, threshold))
    return found


@dataclasses.dataclass(frozen=True)
class _Evaluated:
    """A score of N records.

    Attributes:
      score: the score's description.
      values: (N,) float32; NaN for records without this score.
      flags: (N,) bool; None if not known.
      normal: the numbers of the normal records that have this score.
      missing: how many normal records lack it.
    """

    score: _Score
    values: np.ndarray
    flags: np.ndarray | None
    normal: np.ndarray
    missing: int

    @classmethod
    def read(cls, scores: str, score: _Score, truth: Truth) -> "_Evaluated":
        values = read_numbers(scores, score.column, len(truth.labelled))
        flags = truth.flags if score.is_primary else None
        if score.threshold is not None:
            flags = values >= score.threshold
        normal = truth.labelled & ~truth.anomalous
        known = np.flatnonzero(normal & ~np.isnan(values))
        return cls(score, values, flags, known, int(normal.sum()) - len(known))

    @functools.cached_property
    def _ascending(self) -> np.ndarray:
        return np.sort(self.values[self.normal])

    @functools.cached_property
    def _falsely_flagged(self) -> float:
        return 0.0 if self.flags is None else float(self.flags[self.normal].mean())

    def _having(self, records: np.ndarray) -> np.ndarray:
        return records[~np.isnan(self.values[records])]

    def ranked(self, anomalous: np.ndarray) -> Ranked:
        """The records with these numbers, ranked among all normal ones."""
        return Ranked.of(self.values[self._having(anomalous)], self._ascending)

    def row(self, anomalous: np.ndarray) -> dict[str, Any]:
        """The score's measures if the records with these numbers are the anomalous ones."""
        known = self._having(anomalous)
        told: dict[str, Any] = dict.fromkeys(("auroc", "average_precision", "flagged"))
        if len(known) and len(self.normal):
            ranked = self.ranked(known)
            told["auroc"] = dataclasses.asdict(measured_auroc(ranked, _CONFIDENCE))
            precision = measured_average_precision(ranked, _CONFIDENCE)
            told["average_precision"] = dataclasses.asdict(precision)
            if self.flags is not None:
                told["flagged"] = {
                    "true_positive_rate": float(self.flags[known].mean()),
                    "false_positive_rate": self._falsely_flagged,
                }
        return {
            "name": self.score.name,
            "primary": self.score.is_primary,
            "anomalous": len(anomalous),
            "without_score": len(anomalous) - len(known) + self.missing,
            **told,
        }


def _draw(
    path: str, curves: Mapping[str, Ranked], flagged: Mapping[str, float] | None, heading: str
) -> None:
    from pipelines.drawing.ranking_curves import ranking_curves  # noqa: PLC0415 - it loads matplotlib

    rates = None
    if flagged is not None:
        rates = (flagged["true_positive_rate"], flagged["false_positive_rate"])
    ranking_curves(path, curves, flagged=rates, heading=heading)
