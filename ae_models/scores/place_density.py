"""How usual the least usual place of a record is."""

import dataclasses
import math

import numpy as np
from keras import ops
from scipy import ndimage

from ae_models.ops.constants import constant
from ae_models.ops.parts import split_by_widths
from ae_models.ops.tensor import Tensor
from ae_models.scores.feature_score import FeatureScore
from ae_models.scores.log_distance import bounded_scale
from ae_models.scores.score import SMALLEST_ERROR, Outputs

_MOST_PLACES = 30_000  # by which a covariance is estimated
_SHRINKAGE = 0.01  # towards the unit matrix
_LEADING = 0.9  # of the variance: what makes up the image, not what is rare in it
_PRIOR_RECORDS = 20.0  # that know of no place where features vary otherwise than elsewhere


class PlaceDensity(FeatureScore):
    """The log of how far the features of a record's least usual place lie from those that training
    records have there: the greatest over the places of the layers that have most of them, the mean
    over these layers.

    Features of a place are whitened by all places of the training records, without the directions
    that hold nine tenths of their variance: what a linear auto-encoder of places cannot rebuild.
    What is left has a mean and a variance at each place (after PaDiM, Defard et al. 2021), over
    3 × 3 of them, the variance with a prior of 20 records at 1.
    """

    name = "place_density"

    def __init__(self) -> None:
        self._shapes: list[tuple[int, int, int]] = []
        self._layers: list[_Places] = []

    def features(self, x: Tensor, outputs: Outputs) -> Tensor:
        """(N, ·): the maps one after another."""
        del x
        maps = outputs["fine_maps"]
        self._shapes = [tuple(layer.shape[1:]) for layer in maps]
        flat = [
            ops.reshape(layer, (-1, math.prod(shape)))
            for layer, shape in zip(maps, self._shapes, strict=True)
        ]
        return ops.concatenate(flat, axis=-1)

    def fit(self, features: np.ndarray) -> None:
        self._layers = [_Places.of(np.asarray(maps)) for maps in self._maps(features)]

    @property
    def alignment(self) -> float:
        """The share of what places look like that follows from where they are, from 0 to 1."""
        return float(np.mean([layer.alignment for layer in self._layers]))

    def distance(self, features: Tensor) -> Tensor:
        if not self._layers:
            raise ValueError(f"{self.name} is not fitted")
        logs = [
            ops.log(ops.maximum(ops.max(places(maps), axis=(1, 2)), SMALLEST_ERROR))
            for places, maps in zip(self._layers, self._maps(features), strict=True)
        ]
        return ops.mean(ops.stack(logs), axis=0)

    def _maps(self, features: Tensor) -> list[Tensor]:
        """What `features` has made one: (N, h, w, C) of each layer."""
        parts = split_by_widths(features, [math.prod(shape) for shape in self._shapes])
        return [
            ops.reshape(part, (-1, *shape)) for part, shape in zip(parts, self._shapes, strict=True)
        ]


@dataclasses.dataclass(frozen=True)
class _Places:
    """What is usual at each place of a layer's maps.

    Attributes:
      mean: of the features, (C,).
      matrix: from these to k whitened ones, (C, k).
      usual, deviation: their mean and standard deviation at each place, (h, w, k).
      alignment: the share of their variance that is between places.
    """

    mean: np.ndarray
    matrix: np.ndarray
    usual: np.ndarray
    deviation: np.ndarray
    alignment: float

    @classmethod
    def of(cls, maps: np.ndarray) -> "_Places":
        """Those of training records, (N, h, w, C)."""
        places = maps.reshape(-1, maps.shape[-1])
        mean = places.mean(axis=0, dtype=np.float64)
        scale = bounded_scale(places)
        matrix = _trailing(_sample(places, mean, scale)) / scale[:, None]
        white = ((maps - mean) @ matrix).astype(np.float32)
        usual = _smoothed(white.mean(axis=0, dtype=np.float64))
        squares = np.square(white - usual, dtype=np.float64).mean(axis=0)
        count = len(maps)
        variance = (count * _smoothed(squares) + _PRIOR_RECORDS) / (count + _PRIOR_RECORDS)
        return cls(mean, matrix, usual, np.sqrt(variance), _alignment(white))

    def __call__(self, maps: Tensor) -> Tensor:
        """(N, h, w, C) → (N, h, w): the mean of the squared standardised features of each place."""
        white = ops.matmul(maps - constant(self.mean), constant(self.matrix))
        return ops.mean(
            ops.square((white - constant(self.usual)) / constant(self.deviation)), axis=-1
        )


def _sample(places: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Some of the places, (n, C), all features of mean 0 and variance 1."""
    if len(places) > _MOST_PLACES:
        chosen = np.random.default_rng(0).choice(len(places), _MOST_PLACES, replace=False)
        places = places[np.sort(chosen)]
    return (places - mean) / scale


def _trailing(places: np.ndarray) -> np.ndarray:
    """Whitens places, (n, C), in the directions of least variance, that share a tenth of it:
    (C, k). Of features that hardly vary there are none."""
    alive = np.flatnonzero(places.var(axis=0) > 0.5)  # all have 1 but those
    alive = alive if len(alive) else np.arange(places.shape[1])
    known = places[:, alive]
    covariance = (1 - _SHRINKAGE) * (known.T @ known) / len(known)
    variances, directions = np.linalg.eigh(covariance + _SHRINKAGE * np.eye(len(alive)))
    shares = np.cumsum(variances) / variances.sum()
    kept = max(1, int(np.searchsorted(shares, 1 - _LEADING)))
    matrix = np.zeros((places.shape[1], kept))
    matrix[alive] = directions[:, :kept] / np.sqrt(variances[:kept])
    return matrix


def _alignment(white: np.ndarray) -> float:
    """The share of the variance of (N, h, w, k) that is between places: by how much the means of
    two halves of the records agree, which chance does not raise."""
    one, other = white[::2].mean(axis=0), white[1::2].mean(axis=0)
    share = np.mean(one * other, dtype=np.float64) / np.mean(np.square(white), dtype=np.float64)
    return float(np.clip(share, 0.0, 1.0))


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Means over 3 × 3 places of (h, w, k)."""
    return np.asarray(ndimage.uniform_filter(values, (3, 3, 1), mode="nearest"))
