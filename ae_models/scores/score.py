"""The base of every anomaly score."""

import abc
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ae_models.config.configuration import Configuration
from ae_models.ops.tensor import Tensor

# They keep the logarithm of a perfect reconstruction finite. `latent_mahalanobis` has a separate
# one: the others' would change the bits of its scores in newly fitted bundles.
SMALLEST_ERROR, SMALLEST_MAHALANOBIS_ERROR = 1e-9, 1e-12
# The quantities of ImageModel.infer, the raw `pixels`, other scores by `SCORE_OF` their names, and
# for features `layers`, `fine_maps`, `detail_maps` and `coarse_residual`, as in
# `FeaturePreprocessing`; `anomaly_map`, (N, h, w), if the bundle has one.
Outputs = Mapping[str, Tensor]
SCORE_OF = "score_{}"


class Score(abc.ABC):
    """A function of scaled images and a model's inference; some are fitted to training records."""

    name: ClassVar[str]
    kinds: ClassVar[frozenset[str]] = frozenset({"ae", "dae", "vae"})
    parts: ClassVar[tuple[str, ...]] = ()  # the names of scores from which it is computed
    by_default: ClassVar[bool] = True  # False: costly, and computed only on request
    # The rounding to allow for, relative to its magnitude, and, if its terms cancel, in its own
    # units: smaller differences between Keras and the SavedModel are accepted.
    parity: ClassVar[float] = 1e-5
    resolution: ClassVar[float] = 1e-9  # of a squared error: a residual of 3e-5

    @classmethod
    def refusal(cls, config: Configuration) -> str | None:
        """Why the score is unavailable with this configuration, or None."""
        del config
        return None

    def features(self, x: Tensor, outputs: Outputs) -> Tensor | None:
        """What `fit` needs from each training record, (N, k), or None if nothing is fitted."""
        del x, outputs
        return None

    def fit(self, features: np.ndarray) -> None:
        """Fits the score to the features of training records, (N, k) float32."""
        del features

    @abc.abstractmethod
    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        """(N, H, W, C) float32 and the model's outputs → (N,) float32."""


class ScoreOfScores(Score):
    """A score that is computed only from other scores, its `parts`."""

    @abc.abstractmethod
    def fit_parts(self, parts: Mapping[str, np.ndarray], scores: Mapping[str, Score]) -> None:
        """Fits the score to its parts' values for normal records to which they were not fitted,
        (n,) each, and to these fitted scores themselves."""

    @abc.abstractmethod
    def of_parts(self, parts: Mapping[str, Tensor]) -> Tensor:
        """The score from its parts' values for some records, (N,) each → (N,)."""

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        del x
        return self.of_parts({name: outputs[SCORE_OF.format(name)] for name in self.parts})
