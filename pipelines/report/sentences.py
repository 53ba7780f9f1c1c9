"""The sentences and tables of the report."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ae_models.calibration.drift import Drift
from pipelines.beam.recorded import recorded
from pipelines.report.page import Table, number
from transforms.maps.regions import Region
from transforms.results.summary import RunSummary

QUANTILES = (0.5, 0.9, 0.99, 0.999)
_WORDS = ((0.05, "very little"), (0.15, "slightly"), (0.3, "clearly"), (math.inf, "strongly"))


def counts(ledger: Mapping[str, Any], summary: RunSummary) -> list[tuple[str, str]]:
    """The run's counts, without those that are not known."""
    records = ledger.get("records", {})
    share = summary.flagged / max(1, summary.records)
    found = {
        "read": records.get("read"),
        "scored": summary.records,
        f"flagged ({share:.2%})": summary.flagged,
        "rejected": records.get("rejected"),
        "excluded by --where": records.get("excluded_by_where") or None,
        **_passed_over(ledger),
    }
    return [(name, number(value)) for name, value in found.items() if value is not None]


def _passed_over(ledger: Mapping[str, Any]) -> dict[str, int | None]:
    """Counts by cause; runs of earlier versions record only the number of files."""
    if "passed_over" not in ledger:
        return {"files passed over": ledger.get("files_passed_over") or None}
    return {f"passed over: {cause}": count for cause, count in ledger["passed_over"].items()}


def histogram_note(summary: RunSummary, name: str, threshold: float, fpr: float, n: int) -> str:
    """What the histograms show."""
    flag = f"Records with a p-value of at most {fpr:.4g} are flagged"
    if math.isfinite(threshold):
        flag += f": those with a score ({name}) of {threshold:.4g} or more."
    else:
        flag += f": with {n:,} calibration records, no p-value can be that small."
    below, above = summary.beyond
    beyond = ""
    if below or above:
        beyond = f" The end bars also include {below:,} scores below and {above:,} above the axis."
    uniform = (
        " P-values of normal records are uniform: all bars have about the same height. A high "
        "first bar indicates anomalies, a slope indicates drift."
    )
    return flag + beyond + uniform


def anomalies_note(count: int, name: str, order: str, regions: bool) -> str:
    """Describes the pictures of the most anomalous records.

    Args:
      count: of the records.
      name: of the primary score.
      order: `score` or `region`, by which they were chosen.
      regions: whether they are shown with their maps and regions.
    """
    if order == "region" and not count:
        return "No record has a region."
    which = (
        f"with the highest {name}" if order == "score" else "whose regions have the highest peaks"
    )
    shown = (
        "The heat over an image is its anomaly map: orange is the threshold, red about twice as "
        "much. Boxes mark regions, where the map reaches the threshold."
        if regions
        else "The error is the absolute difference between input and reconstruction, averaged over "
        "channels, in scaled units."
    )
    return (
        f"The {count} records {which}, highest first. {shown} Colours have the same meaning in "
        "every picture."
    )


def regions_told(regions: Sequence[Region], p_values: np.ndarray) -> str:
    """How many regions a record has, and where the one with the highest peak is."""
    if not regions:
        return "no region"
    first, count = regions[0], len(regions)
    which = "1 region:" if count == 1 else f"{count:,} regions, the highest"
    return (
        f"{which} {first.width} × {first.height} pixels at ({first.x}, {first.y}), "
        f"p-value {p_values[0]:.4g}"
    )


def drift_note(drift: Drift, flagged: float, fpr: float, name: str) -> list[str]:
    """Explains the primary score's drift."""
    if drift.beyond_chance:
        word = next(word for most, word in _WORDS if drift.distance < most)
        side = "higher" if drift.higher else "lower"
        found = (
            f"By {name}, this run differs {word} from the calibration records: its scores are "
            f"{side}. The Kolmogorov-Smirnov distance is {drift.distance:.3f}; chance alone "
            f"exceeds {drift.by_chance:.3f} in 1 of 100 runs."
        )
    else:
        found = (
            f"By {name}, this run does not differ from the calibration records by more than chance "
            f"explains: the Kolmogorov-Smirnov distance is {drift.distance:.3f}, and chance alone "
            f"exceeds {drift.by_chance:.3f} in 1 of 100 runs."
        )
    share = f"{flagged:.2%} of the records are flagged; if all were normal, {fpr:.2%} would be."
    caution = (
        "The run may contain anomalies, and these figures include them: many anomalies look like "
        "drift. If most of the run is normal and the p-values still slope, the images have changed "
        "(camera, lighting, preparation): retrain, or calibrate on current records."
    )
    return [found, share, caution]


def training_note(manifest: Mapping[str, Any]) -> list[str]:
    """How the model's training went, as far as its bundle records it."""
    training = manifest.get("training", {})
    notes = []
    if "curves" in training:
        epochs, best = training["epochs"], training["best_epoch"]
        kept = f"epoch {best} was kept" if best else "none improved on the untrained model"
        notes.append(f"The model was trained for {epochs:,} epochs; {kept}.")
    if "control" in training:
        notes.append(
            "The model reconstructs {records:,} held-out records with a mean squared error of "
            "{model:.3g}, {ratio:.2f} times that of {components} principal components of the "
            "training records.".format(**training["control"])
        )
    return [*notes, *(f"Training advice: {line}." for line in training.get("advice", ()))]


def drift_tables(
    summary: RunSummary, calibration: Mapping[str, np.ndarray], sample: Mapping[str, np.ndarray]
) -> list[Table]:
    """Each score's distance, and the primary score's quantiles.

    Args:
      summary: of the run.
      calibration: ascending scores by column; the primary score is first, as `score`.
      sample: scores of a uniform sample of the run, by column.
    """
    rows = []
    for name, counted in summary.counts.items():
        drift, reference = counted.drift(), calibration[name]
        limit = _quantile(reference, 0.99)
        direction = ("higher" if drift.higher else "lower") if drift.beyond_chance else "similar"
        rows.append([
            "score (primary)" if name == "score" else name,
            f"{drift.distance:.3f}", f"{drift.by_chance:.3f}", direction,
            number(float(np.median(reference))), number(_known_quantile(sample[name], 0.5)),
            f"{counted.share_above(limit):.2%}",
        ])  # fmt: skip
    distances = Table(
        "Distance between each score's distributions in the run and in the calibration",
        ("score", "distance", "by chance", "run's scores", "median: calibration", "median: run",
         "run above calibration's 99%"),
        rows,
    )  # fmt: skip
    return [distances, _quantile_table(summary, calibration["score"], sample["score"])]


def _quantile_table(summary: RunSummary, reference: np.ndarray, sample: np.ndarray) -> Table:
    rows = []
    for level in QUANTILES:
        value = _quantile(reference, level)
        above = summary.counts["score"].share_above(value)
        rows.append([
            f"{level:.1%}", number(value), number(_known_quantile(sample, level)), f"{above:.2%}",
            f"{float((reference > value).mean()):.2%}",
        ])  # fmt: skip
    return Table(
        "Quantiles of the primary score",
        ("quantile", "calibration", "run", "run above calibration's",
         "calibration above its own"),
        rows,
    )  # fmt: skip


def _quantile(reference: np.ndarray, level: float) -> float:
    """A quantile that is one of the reference's values, so that counts at it are exact."""
    return float(np.quantile(reference, level, method="inverted_cdf"))


def _known_quantile(values: np.ndarray, level: float) -> float:
    known = values[~np.isnan(values)]
    return float(np.quantile(known, level)) if len(known) else math.nan


def identity(
    ledger: Mapping[str, Any], manifest: Mapping[str, Any], scores: str, model: str
) -> dict[str, list[tuple[str, str]]]:
    """The facts that identify the model and the run."""
    config, training = manifest["config"], manifest.get("training", {})
    run_model = ledger.get("model", {})
    records = {
        **training.get("records", {}),
        "calibration": manifest["calibration"].get("records"),
    }
    of_model = {
        "bundle": model,
        "fingerprint": manifest["fingerprint"],
        "kind": f"{config['model']['kind']}, {config['model']['network']}",
        "images": "{height} × {width} × {channels}, {bits} bits".format(**config["image"]),
        "latent size": config["model"]["latent_dim"],
        "primary score": run_model.get("primary_score"),
        "records": records,
        "trained on": training.get("inputs"),
        **{
            name.replace("_", " "): training.get(name)
            for name in ("where", "parameters", "epochs", "best_epoch", "validation_loss")
        },
        "versions": manifest.get("versions"),
    }
    of_run = {
        "scores": scores,
        "run id": ledger.get("run_id"),
        "inputs": ledger.get("inputs"),
        "where": ledger.get("where"),
        "flagged up to p-value": run_model.get("fpr"),
        "relabelled": ledger.get("relabelled"),
        "seconds": ledger.get("seconds"),
        "options": recorded(ledger.get("options") or {}),
        "versions": ledger.get("versions"),
    }
    return {"Model": _told(of_model), "Run": _told(of_run)}


def _told(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, _text(value)) for name, value in facts.items() if value not in (None, [], {})]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(found)}" for name, found in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_text, value))
    return number(value) if isinstance(value, int | float) else str(value)
