"""`latentbeam evaluate`: how well scores tell anomalous records, given a label."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ae_models.calibration.ranking import auroc, average_precision
from ae_models.errors import InputError
from transforms.records.where import Where
from transforms.results.read_shards import check_columns, shard_batches
from transforms.runs.ledger import SCORES, result_files
from transforms.runs.shards import open_shard, read_errors

_RESAMPLES = 500
_MOST_RESAMPLED = 20_000
_CONFIDENCE = 0.95
_SEED = 0


def evaluate(scores: str, anomalous: str) -> dict[str, Any]:
    """AUROC and average precision of `score`, each with a bootstrap interval, and what the flag
    `is_anomaly` found. Records without a value of the condition's column are neither normal nor
    anomalous: they are left out, and counted.

    Raises:
      InputError: no finished run, or no records of one of the two kinds.
      ConfigError: the condition names no column of the scores.
    """
    where = Where.parse(anomalous)
    found = _read(scores, where)
    table = found.filter(pc.invert(pc.is_null(found[where.column], nan_is_null=True)))
    truth = where.mask(table[where.column]).to_numpy()
    score, flags = table["score"].to_numpy(), table["is_anomaly"].to_numpy()
    if truth.all() or not truth.any():
        raise InputError(
            f"{scores}: {int(truth.sum())} of {len(truth)} records are anomalous ({where}); "
            "both kinds are needed"
        )
    return {
        "records": len(truth),
        "anomalous": int(truth.sum()),
        "unlabelled": len(found) - len(table),
        "auroc": _with_interval(auroc, truth, score),
        "average_precision": _with_interval(average_precision, truth, score),
        "flagged": {
            "true_positive_rate": float(flags[truth].mean()),
            "false_positive_rate": float(flags[~truth].mean()),
        },
        "confidence": _CONFIDENCE,
    }


def _read(scores: str, where: Where) -> pa.Table:
    tables: list[pa.Table] = []
    for path in result_files(scores, SCORES):
        with open_shard(path) as parquet:
            schema = parquet.schema_arrow
        check_columns(path, schema, ["score", "is_anomaly"])
        where.check(schema)
        columns = list(dict.fromkeys([where.column, "score", "is_anomaly"]))
        tables += map(pa.table, shard_batches(path, columns))
    if not tables:
        raise InputError(f"{scores} holds no scored record")
    with read_errors(scores):
        return pa.concat_tables(tables).unify_dictionaries()


def _with_interval(metric: Any, truth: np.ndarray, score: np.ndarray) -> dict[str, float | None]:
    """The metric over all records, and a percentile interval by resampling each kind apart.

    Of very many records a seeded part is resampled, and the interval narrowed to their number by
    the square root of the ratio. A kind of one record alone has no interval.
    """
    generator = np.random.default_rng(_SEED)
    kinds = [score[truth], score[~truth]]
    share = min(1.0, _MOST_RESAMPLED / len(score))
    parts = [
        generator.choice(kind, max(2, round(len(kind) * share)), replace=False)
        if share < 1 and len(kind) > 2
        else kind
        for kind in kinds
    ]
    value = float(metric(truth, score))
    if min(map(len, parts)) < 2:
        return {"value": value, "low": None, "high": None}

    def of_kinds(positive: np.ndarray, negative: np.ndarray) -> float:
        labels = np.repeat([True, False], [len(positive), len(negative)])
        return float(metric(labels, np.concatenate([positive, negative])))

    drawn = [part[generator.integers(0, len(part), (_RESAMPLES, len(part)))] for part in parts]
    resampled = [of_kinds(*kinds) for kinds in zip(*drawn, strict=True)]
    low, high = np.quantile(resampled, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    centre, narrowing = of_kinds(*parts), np.sqrt(share)
    return {
        "value": value,
        "low": float(value + (low - centre) * narrowing),
        "high": float(value + (high - centre) * narrowing),
    }
