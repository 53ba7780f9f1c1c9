"""Scores held-out normal records into a bundle's calibration file."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ae_models.bundles.names import SCORE_PREFIX
from ae_models.bundles.scorer import Scorer
from ae_models.calibration.pareto_tail import fit_pareto_tail
from ae_models.errors import StageError
from ae_models.training.fit_scores import HeldOut
from ae_models.training.image_store import Batch
from ae_models.training.splits import id_hashes


def write_calibration(
    path: Path,
    scorer: Scorer,
    batches: Iterable[Batch],
    tail: Literal["none", "pareto"] = "none",
    held_out: HeldOut | None = None,
) -> dict[str, Any]:
    """Writes `id`, `score` and each `score_<name>` of the records, in the order of their hashes.
    Records whose score is not finite, which a run rejects, are left out.

    Args:
      path: the file.
      scorer: scores the records.
      batches: the records' ids and images.
      tail: the distribution assumed for scores beyond all of these.
      held_out: corrects scores that were fitted to these records; None: no score was.

    Returns:
      Facts for the manifest: `records`, the number of records; `not_finite`, the number left out;
      `known_to`, the scores that were fitted to these records and are stored here as if each record
      had been left out; quantiles of the primary score; and its `pareto_tail`, null if none was
      requested or none can be fitted.

    Raises:
      StageError: no record has a finite score.
    """
    ids: list[str] = []
    parts: list[dict[str, np.ndarray]] = []
    for batch_ids, pixels in batches:
        outputs = scorer.score(pixels)
        ids += batch_ids
        parts.append({n: v for n, v in outputs.items() if n.startswith(SCORE_PREFIX[:-1])})
    columns = {name: np.concatenate([part[name] for part in parts]) for name in sorted(parts[0])}
    if held_out is not None:
        columns |= _corrected(columns, held_out)
        columns["score"] = columns[scorer.primary]
    facts = write_scores(path, ids, columns, tail)
    return facts | {"known_to": [] if held_out is None else sorted(held_out.scores)}


def write_scores(
    path: Path,
    ids: Sequence[str],
    columns: Mapping[str, np.ndarray],
    tail: Literal["none", "pareto"] = "none",
) -> dict[str, Any]:
    """Writes scores of records, (N,) each, by column name. Returns and raises the same as
    `write_calibration`, except for `known_to`."""
    order = np.argsort(id_hashes(ids))
    kept = order[np.isfinite(columns["score"][order])]
    if not len(kept):
        raise StageError(f"none of the {len(ids):,} calibration records has a finite score")
    table = pa.table({"id": pa.array(ids, pa.string()), **columns})
    pq.write_table(table.take(pa.array(kept)), path)
    scores = np.sort(columns["score"][kept])
    quantiles = np.quantile(scores, [0.0, 0.5, 0.9, 0.99, 1.0])
    names = ("minimum", "median", "quantile_90", "quantile_99", "maximum")
    fitted = fit_pareto_tail(scores) if tail == "pareto" else None
    return {
        "records": len(kept),
        "not_finite": len(ids) - len(kept),
        **dict(zip(names, map(float, quantiles), strict=True)),
        "pareto_tail": None if fitted is None else dataclasses.asdict(fitted),
    }


def _corrected(columns: dict[str, np.ndarray], held_out: HeldOut) -> dict[str, np.ndarray]:
    scores = {name.removeprefix(SCORE_PREFIX): v for name, v in columns.items() if name != "score"}
    return {SCORE_PREFIX + name: v for name, v in held_out.corrected(scores).items()}
