"""Runs for reports, their ids, labels and messages as hostile as they can be."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from ae_models.bundles.bundle import open_bundle
from tests.support.finished_run import write_result

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "' onmouseover='alert(4)",
    "{{ 7 * 7 }} @id{safe} $name &lt;b&gt;",
    "<!--<script>",
    "\u202eright to left\x1b[2J",
)


def hostile_run(folder: Path, bundle: Path, count: int = 60, inputs: str = "/gone") -> str:
    """A finished run of `count` made records; the most anomalous ones have hostile ids."""
    generator, found = np.random.default_rng(0), open_bundle(bundle)
    calibration = found.calibration_scores()
    scores = generator.choice(calibration, count)
    scores[: len(HOSTILE)] = calibration[-1] + np.arange(1, len(HOSTILE) + 1)
    ids = [*HOSTILE, *(f"{HOSTILE[0]}{HOSTILE[2]}{n}" for n in range(len(HOSTILE), count))]
    latents = generator.normal(size=(count, found.config.model.latent_dim)).astype(np.float32)
    rows = {
        "id": ids,
        "source": ids,
        "label": [HOSTILE[n % len(HOSTILE)] for n in range(count)],
        "latent_mean": pa.FixedSizeListArray.from_arrays(latents.ravel(), latents.shape[1]),
        "score": scores.astype(np.float32),
        "p_value": generator.uniform(size=count),
        "is_anomaly": np.arange(count) < len(HOSTILE),
        "model": pa.array([found.fingerprint] * count).dictionary_encode(),
    }
    rejects = {name: list(HOSTILE) for name in ("id", "source", "stage", "reason", "message")}
    facts = {
        "inputs": [inputs],
        "where": [HOSTILE[1]],
        "options": {HOSTILE[0]: HOSTILE[2]},
        "model": {"fpr": 0.05, "primary_score": HOSTILE[1]},
        "records": {"read": count + len(HOSTILE), "rejected": len(HOSTILE)},
        "seconds": 1.5,
    }
    tables = {"scores": [pa.table(rows)], "rejects": [pa.table(rejects)]}
    return write_result(folder, tables, facts)


def clusters_of_run(folder: Path, ids: list[str], count: int) -> str:
    """Clusters of these records, in turn, and noise."""
    numbers = np.arange(len(ids)) % (count + 1) - 1
    distances = np.linspace(0, 1, len(ids), dtype=np.float32)
    table = pa.table({
        "id": ids,
        "cluster": numbers.astype(np.int32),
        "distance_to_center": distances,
        "probability": distances,
        "outlier_score": distances,
    })  # fmt: skip
    return write_result(folder, {"clusters": [table]})
