"""How usual a record's least usual place is."""

import math

import numpy as np
from keras import ops

from ae_models.maps.places import Places
from ae_models.ops.parts import split_by_widths
from ae_models.ops.tensor import Tensor
from ae_models.scores.feature_score import FeatureScore
from ae_models.scores.score import SMALLEST_ERROR, Outputs


class PlaceDensity(FeatureScore):
    """The log of how far the features of a record's least usual place are from those that training
    records have there: the greatest over the places, in the layers with the most places, averaged
    over these layers.

    Features of a place are whitened by all places of the training records, without the directions
    that contain nine tenths of their variance: what a linear auto-encoder of places cannot
    reconstruct. The remaining features have a mean and a variance at each place (after PaDiM,
    Defard et al. 2021), over 3 × 3 places, the variance with a prior of 20 records at 1.
    """

    name = "place_density"

    def __init__(self) -> None:
        self._shapes: list[tuple[int, int, int]] = []
        self._layers: list[Places] = []

    def features(self, x: Tensor, outputs: Outputs) -> Tensor:
        """(N, ·): the maps, concatenated."""
        del x
        maps = outputs["fine_maps"]
        self._shapes = [tuple(layer.shape[1:]) for layer in maps]
        flat = [
            ops.reshape(layer, (-1, math.prod(shape)))
            for layer, shape in zip(maps, self._shapes, strict=True)
        ]
        return ops.concatenate(flat, axis=-1)

    def fit(self, features: np.ndarray) -> None:
        self._layers = [Places.of(np.asarray(maps)) for maps in self._maps(features)]

    @property
    def alignment(self) -> float:
        """The share of places' appearance that their position determines, from 0 to 1."""
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
        """Splits the result of `features`: (N, h, w, C) for each layer."""
        parts = split_by_widths(features, [math.prod(shape) for shape in self._shapes])
        return [
            ops.reshape(part, (-1, *shape)) for part, shape in zip(parts, self._shapes, strict=True)
        ]
