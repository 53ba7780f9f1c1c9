"""How well scores rank anomalous records above others, from counts alone."""

import numpy as np


def auroc(truth: np.ndarray, scores: np.ndarray) -> float:
    """The probability that an anomalous record scores higher than another, equal scores counting
    half: the area under the ROC curve.

    Args:
      truth: (N,) bool, of both kinds.
      scores: (N,) finite.
    """
    true, false = _counts_above(truth, scores)
    twice = np.diff(false, prepend=0) * (true + np.append(0, true[:-1]))
    return float(twice.sum() / (2 * true[-1] * false[-1]))


def average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    """Σ_k (R_k − R_(k−1))·P_k over the scores k that occur, from the highest: of the records that
    score at least k, P_k is the share that is anomalous, and R_k their share of all that are.

    Args:
      truth: (N,) bool, of which one is true at least.
      scores: (N,) finite.
    """
    true, false = _counts_above(truth, scores)
    return float((np.diff(true, prepend=0) / true[-1]) @ (true / (true + false)))


def _counts_above(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many anomalous and other records score at least as high as each score that occurs, from
    the highest: (k,) int64 each."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true = np.cumsum(truth[order], dtype=np.int64)[ends]
    return true, ends + 1 - true
