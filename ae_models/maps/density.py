"""Where features of a frozen network are unusual."""

import math
from collections.abc import Callable, Mapping

import numpy as np
from keras import ops

from ae_models.maps.anomaly_map import AnomalyMap
from ae_models.maps.nearest import NearestPlaces
from ae_models.maps.places import Places
from ae_models.ops.parts import split_by_widths
from ae_models.ops.resampling import resampled
from ae_models.ops.tensor import Tensor

_SMOOTHING = 0.009  # of the shorter side
_SCALED_BY = 4  # one record in four determines the scale
_MOST_PLACES = 20  # per side, at which statistics of the detail layer are kept
_SMALLEST_SCALE = 1e-6

_Level = Callable[[Tensor], Tensor]  # (N, h, w, C) → (N, h, w)


class DensityMap(AnomalyMap):
    """How unusual the features of each place are, the mean of several levels. For the fine layers,
    a level is the distance to the nearest place of a core-set, wherever that is in the image; for
    the detail layer, which has more places, it is how far features are from the usual ones at that
    place (`Places`).

    Each level is divided by its average maximum in normal records, computed from a quarter of the
    training records, to which the level is not fitted.
    """

    name = "density"

    def __init__(self, size: tuple[int, int]):
        super().__init__(size)
        self._shapes: list[tuple[int, int, int]] = []
        self._has_detail = False
        self._levels: list[tuple[_Level, float]] = []

    def features(self, x: Tensor, outputs: Mapping[str, Tensor]) -> Tensor:
        """(N, ·): the layers' maps, concatenated."""
        del x
        detail = outputs["detail_maps"]
        maps = [*outputs["fine_maps"], *detail]
        self._shapes, self._has_detail = [tuple(layer.shape[1:]) for layer in maps], bool(detail)
        flat = [
            ops.reshape(layer, (-1, math.prod(shape)))
            for layer, shape in zip(maps, self._shapes, strict=True)
        ]
        return ops.concatenate(flat, axis=-1)

    def fit(self, features: np.ndarray) -> None:
        self._levels = []
        held_out = max(1, len(features) // _SCALED_BY)
        for level, maps in self._parts(features):
            seen = maps[held_out:] if len(maps) > held_out else maps
            fitted = self._fitted(level, np.asarray(seen))
            peaks = ops.max(self._resampled(fitted(maps[:held_out])), axis=(1, 2))
            scale = max(_SMALLEST_SCALE, float(np.mean(np.asarray(peaks), dtype=np.float64)))
            self._levels.append((fitted, scale))

    def __call__(self, x: Tensor, outputs: Mapping[str, Tensor]) -> Tensor:
        return self.of_features(self.features(x, outputs))

    def of_features(self, features: Tensor) -> Tensor:
        """The maps from the result of `features`: (N, ·) → (N, h, w).

        Raises:
          ValueError: the map is not fitted.
        """
        if not self._levels:
            raise ValueError(f"the map {self.name} is not fitted")
        parts = self._parts(features)
        found = [
            self._resampled(fitted(maps)) / scale
            for (fitted, scale), (_, maps) in zip(self._levels, parts, strict=True)
        ]
        return sum(found[1:], found[0]) / len(found)

    def _parts(self, features: Tensor) -> list[tuple[str, Tensor]]:
        """Each level's name, and its layer's maps, (N, h, w, C)."""
        widths = [math.prod(shape) for shape in self._shapes]
        maps = [
            ops.reshape(part, (-1, *shape))
            for part, shape in zip(split_by_widths(features, widths), self._shapes, strict=True)
        ]
        nearest = maps[:-1] if self._has_detail else maps
        placed = maps[-1:] if self._has_detail else maps
        return [*(("nearest", layer) for layer in nearest), *(("places", m) for m in placed)]

    def _fitted(self, level: str, maps: np.ndarray) -> _Level:
        if level == "nearest":
            return NearestPlaces.of(maps)
        return Places.of(maps, _MOST_PLACES)

    def _resampled(self, places: Tensor) -> Tensor:
        return resampled(places, self.size, _SMOOTHING * min(self.size))
