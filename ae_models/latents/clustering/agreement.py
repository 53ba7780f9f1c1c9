"""How well clusters agree with labels, computed from the counts of their pairs alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import comb
from scipy.stats import entropy


def agreement(pairs: Mapping[tuple[int, str], int]) -> dict[str, Any]:
    """Compares clusters and labels over the records that have both.

    Args:
      pairs: the number of records for each cluster and label. Noise counts as a separate cluster.

    Returns:
      `records`; `accuracy` under the best one-to-one match of clusters and labels (Kuhn 1955);
      `normalized_mutual_information`, by the arithmetic mean of the entropies; the
      `adjusted_rand_index` (Hubert and Arabie 1985); and `matched`, the label of each cluster in
      that match. Only `records`, 0, if there are no records.
    """
    clusters = sorted({cluster for cluster, _ in pairs})
    labels = sorted({label for _, label in pairs})
    counts = np.zeros((len(clusters), len(labels)), np.int64)
    for (cluster, label), number in pairs.items():
        counts[clusters.index(cluster), labels.index(label)] = number
    total = int(counts.sum())
    if not total:
        return {"records": 0}
    rows, columns = linear_sum_assignment(-counts)
    return {
        "records": total,
        "accuracy": float(counts[rows, columns].sum() / total),
        "normalized_mutual_information": _mutual_information(counts),
        "adjusted_rand_index": _rand_index(counts),
        "matched": {str(clusters[r]): labels[c] for r, c in zip(rows, columns, strict=True)},
    }


def _mutual_information(counts: np.ndarray) -> float:
    of_clusters, of_labels = entropy(counts.sum(axis=1)), entropy(counts.sum(axis=0))
    if of_clusters + of_labels == 0:
        return 1.0  # one cluster, one label
    mutual = of_clusters + of_labels - entropy(counts.ravel())
    return float(max(0.0, mutual) / ((of_clusters + of_labels) / 2))


def _rand_index(counts: np.ndarray) -> float:
    together = comb(counts, 2).sum()
    in_clusters, in_labels = comb(counts.sum(axis=1), 2).sum(), comb(counts.sum(axis=0), 2).sum()
    expected = in_clusters * in_labels / max(1.0, comb(counts.sum(), 2))
    most = (in_clusters + in_labels) / 2
    return 1.0 if most == expected else float((together - expected) / (most - expected))
