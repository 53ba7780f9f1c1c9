"""The quality of class probabilities, from sums that can be accumulated over batches."""

import numpy as np

BINS = 15
_SMALLEST = np.finfo(np.float64).eps  # the bound of scikit-learn for a probability of 0
_RECORDS, _CORRECT, _CONFIDENCE, _LOSS = range(4)
SUMS_SHAPE = (BINS, 4)


def metric_sums(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The sums over N records that `class_metrics` needs, `SUMS_SHAPE` float64: for each bin of the
    greatest probability, the number of records, the number of correct ones, and the sums of that
    probability and of −log p(true class).

    Args:
      probabilities: (N, C) float64.
      truth: (N,) int, the true classes.
    """
    confidence = probabilities.max(axis=1)
    own = probabilities[np.arange(len(truth)), truth]
    columns = (
        np.ones(len(truth)),
        probabilities.argmax(axis=1) == truth,
        confidence,
        -np.log(np.maximum(own, _SMALLEST)),
    )
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    return np.stack([np.bincount(bins, column, BINS) for column in columns], axis=1)


def class_metrics(sums: np.ndarray) -> dict[str, float]:
    """`accuracy`, `log_loss` in nats and `expected_calibration_error`: the mean distance between
    confidence and accuracy over 15 bins of equal width, weighted by their records (Guo et al.
    2017).

    Args:
      sums: the accumulated results of `metric_sums`, of at least one record.
    """
    records = sums[:, _RECORDS].sum()
    gaps = np.abs(sums[:, _CORRECT] - sums[:, _CONFIDENCE])
    return {
        "accuracy": float(sums[:, _CORRECT].sum() / records),
        "log_loss": float(sums[:, _LOSS].sum() / records),
        "expected_calibration_error": float(gaps.sum() / records),
    }
