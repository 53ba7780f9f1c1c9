"""Measures of how maps rank pixels, computed from counts.

Values with the same half float count as ties: each measure is that of maps rounded to half floats,
which moves values by less than one part in two thousand. For maps that are stored as half floats,
this affects only those that are enlarged.
"""

from typing import NamedTuple

import numpy as np

from ae_models.pixel_ranking.counts import ImagePixels, PixelCounts
from ae_models.pixel_ranking.half_floats import half_float

AUPIMO_BOUNDS = (1e-5, 1e-4)


class BestF1(NamedTuple):
    """The greatest F1 score over all thresholds, and the greatest threshold with that score: pixels
    at or above it count as anomalous; None: all do, including those without a value."""

    f1: float
    precision: float
    recall: float
    threshold: float | None


def pixel_auroc(counts: PixelCounts) -> tuple[float, float]:
    """The area under the ROC curve of all pixels, ties counting one half, and the greatest possible
    difference from that of unrounded values."""
    normal, anomalous = (
        counts.normal / counts.normal.sum(),
        counts.anomalous / counts.anomalous.sum(),
    )
    below = np.cumsum(normal) - normal
    ties = float(anomalous @ normal)
    return float(anomalous @ below) + ties / 2, ties / 2


def aupro(counts: PixelCounts, limit: float) -> float:
    """The area under the curve of per-region overlap against the false-positive rate of all normal
    pixels, up to a rate, divided by that rate (Bergmann et al. 2021): 1 if all regions are covered
    before any normal pixel."""
    rates, overlaps = _from_the_top(counts.normal), _from_the_top(counts.overlap) / counts.regions
    rates = rates / rates[-1]
    end = int(np.searchsorted(rates, limit, side="right"))
    at_limit = np.interp(limit, rates, overlaps)
    return float(
        np.trapezoid(np.append(overlaps[:end], at_limit), np.append(rates[:end], limit)) / limit
    )


def best_f1(counts: PixelCounts) -> BestF1:
    """The best F1 score over the pixels of all images."""
    found = _from_the_top(counts.anomalous)[1:]
    taken = found + _from_the_top(counts.normal)[1:]
    f1 = 2 * found / (taken + found[-1])
    best = int(np.argmax(f1))
    return BestF1(
        float(f1[best]),
        float(found[best] / taken[best]),
        float(found[best] / found[-1]),
        half_float(code) if (code := len(f1) - 1 - best) else None,
    )


class Aupimo:
    """The area under the curve of one image's recall against the false-positive rate of normal
    images, averaged over these, on a logarithmic axis between two rates, which state how rare a
    false alarm must be (Bertoldo et al. 2024).

    Args:
      counts: over images that include normal ones.
      bounds: the two rates.
    """

    def __init__(self, counts: PixelCounts, bounds: tuple[float, float] = AUPIMO_BOUNDS):
        low, high = np.log(bounds[0]), np.log(bounds[1])
        rates = _from_the_top(counts.usual) / counts.normal_images
        logs = np.clip(np.log(np.maximum(rates, np.finfo(float).tiny)), low, high)
        # Between two thresholds, the higher one's recall is reached at any rate below the lower's.
        self._weights = np.diff(logs, append=high) / (high - low)

    def of(self, image: ImagePixels) -> float:
        """The measure for an image with anomalous pixels."""
        recall = _from_the_top(image.anomalous)
        return float(self._weights @ (recall / recall[-1]))


def _from_the_top(values: np.ndarray) -> np.ndarray:
    """(65,537,): sums of the values at or above each threshold, from none to all."""
    return np.concatenate([[0], np.cumsum(values[::-1])])
