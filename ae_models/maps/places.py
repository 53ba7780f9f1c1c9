"""The usual features at each place of feature maps."""

import dataclasses

import numpy as np
from keras import ops
from scipy import ndimage

from ae_models.ops.area import area_shares
from ae_models.ops.constants import constant
from ae_models.ops.resampling import resampling
from ae_models.ops.scale import bounded_scale
from ae_models.ops.tensor import Tensor

_MOST_PLACES = 30_000  # from which a covariance is estimated
_SHRINKAGE = 0.01  # towards the unit matrix
_LEADING = 0.9  # of the variance: describes typical image content rather than what is rare in it
_PRIOR_RECORDS = 20.0  # of a prior under which features vary equally at all places


@dataclasses.dataclass(frozen=True)
class Places:
    """The usual features at each place of a layer's maps.

    Attributes:
      mean: the features' mean, (C,).
      matrix: from centred features to k whitened ones, (C, k).
      usual, deviation: their mean and standard deviation at each place, (h, w, k), or on a coarser
        grid, (h', w', k).
      alignment: the share of their variance that is between places.
    """

    mean: np.ndarray
    matrix: np.ndarray
    usual: np.ndarray
    deviation: np.ndarray
    alignment: float

    @classmethod
    def of(cls, maps: np.ndarray, most: int | None = None) -> "Places":
        """Estimates them from the maps of training records, (N, h, w, C).

        Args:
          maps: the layer's maps.
          most: the maximum number of places per side with separate statistics; None: all.
        """
        places = maps.reshape(-1, maps.shape[-1])
        mean = places.mean(axis=0, dtype=np.float64)
        scale = bounded_scale(places)
        matrix = _trailing(_sample(places, mean, scale)) / scale[:, None]
        white = ((maps - mean) @ matrix).astype(np.float32)
        size, count = maps.shape[1:3], len(maps)
        grid = tuple(min(side, most or side) for side in size)
        usual = _smoothed(_means_over(white.mean(axis=0, dtype=np.float64), grid))
        squares = np.square(white - np.asarray(_spread(usual, size)), dtype=np.float64).mean(axis=0)
        squares = _smoothed(_means_over(squares, grid))
        variance = (count * squares + _PRIOR_RECORDS) / (count + _PRIOR_RECORDS)
        return cls(mean, matrix, usual, np.sqrt(variance), _alignment(white))

    def __call__(self, maps: Tensor) -> Tensor:
        """(N, h, w, C) → (N, h, w): the mean of the squared standardised features of each place."""
        white = ops.matmul(maps - constant(self.mean), constant(self.matrix))
        size = maps.shape[1:3]
        usual, deviation = (_spread(values, size) for values in (self.usual, self.deviation))
        return ops.mean(ops.square((white - usual) / deviation), axis=-1)


def _sample(places: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """A sample of the places, (n, C), with features standardised to mean 0 and variance 1."""
    if len(places) > _MOST_PLACES:
        chosen = np.random.default_rng(0).choice(len(places), _MOST_PLACES, replace=False)
        places = places[np.sort(chosen)]
    return (places - mean) / scale


def _trailing(places: np.ndarray) -> np.ndarray:
    """Whitens places, (n, C), in the directions of least variance, which share a tenth of it:
    (C, k). Features that hardly vary are left out."""
    alive = np.flatnonzero(places.var(axis=0) > 0.5)  # it is 1 for all others
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
    """The share of the variance of (N, h, w, k) that is between places, from the agreement of the
    means of two halves of the records, which chance does not raise."""
    whole = float(np.mean(np.square(white), dtype=np.float64))
    if len(white) < 2 or whole == 0.0:
        return 0.0
    one, other = white[::2].mean(axis=0), white[1::2].mean(axis=0)
    return float(np.clip(np.mean(one * other, dtype=np.float64) / whole, 0.0, 1.0))


def _means_over(values: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """(h, w, k) → (h', w', k): means over the areas of a coarser grid."""
    rows, columns = (area_shares(old, new) for old, new in zip(values.shape, grid, strict=False))
    return np.asarray(np.einsum("ih,jw,hwk->ijk", rows, columns, values, optimize=True))


def _spread(values: np.ndarray, size: tuple[int, int]) -> Tensor:
    """(h', w', k) → (h, w, k): interpolates from a coarser grid to each place; inside a graph."""
    if values.shape[:2] == size:
        return constant(values)
    rows, columns = (
        constant(resampling(old, new, 0.0)) for old, new in zip(values.shape, size, strict=False)
    )
    return ops.einsum("jw,iwk->ijk", columns, ops.einsum("ih,hwk->iwk", rows, constant(values)))


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Means over 3 × 3 places of (h, w, k)."""
    return np.asarray(ndimage.uniform_filter(values, (3, 3, 1), mode="nearest"))
