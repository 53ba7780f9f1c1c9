"""What every anomaly score is."""

import abc
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ae_models.config.configuration import Configuration
from ae_models.ops.tensor import Tensor

# They keep the logarithm of a perfect reconstruction finite. `latent_mahalanobis` has its own: with
# the others', the scores of bundles that are fitted anew would be other bits.
SMALLEST_ERROR, SMALLEST_MAHALANOBIS_ERROR = 1e-9, 1e-12
# Of ImageModel.infer, the raw `pixels`, other scores by `SCORE_OF` their names, and of features
# `layers`, `fine_maps`, `detail_maps` and `coarse_residual`, as `FeaturePreprocessing` has them;
# `anomaly_map`, (N, h, w), where the bundle has one.
Outputs = Mapping[str, Tensor]
SCORE_OF = "score_{}"


class Score(abc.ABC):
    """A function of scaled images and a model's inference; some are fitted to training records."""

    name: ClassVar[str]
    kinds: ClassVar[frozenset[str]] = frozenset({"ae", "dae", "vae"})
    parts: ClassVar[tuple[str, ...]] = ()  # the names of scores that it is made of
    by_default: ClassVar[bool] = True  # a costly one is computed only where it is asked for
    # What rounding may make of it, as a share of its magnitude, and where its terms cancel in its
    # own units: by no less are Keras and the SavedModel found to differ.
    parity: ClassVar[float] = 1e-5
    resolution: ClassVar[float] = 1e-9  # of a squared error: a residual of 3e-5

    @classmethod
    def refusal(cls, config: Configuration) -> str | None:
        """Why the score cannot be had with this configuration, or None."""
        del config
        return None

    def features(self, x: Tensor, outputs: Outputs) -> Tensor | None:
        """What `fit` needs of each training record, (N, k), or None where nothing is fitted."""
        del x, outputs
        return None

    def fit(self, features: np.ndarray) -> None:
        """Learns from the features of training records, (N, k) float32."""
        del features

    @abc.abstractmethod
    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        """(N, H, W, C) float32 and the model's outputs → (N,) float32."""


class ScoreOfScores(Score):
    """A score that is made of others, its `parts`, and of nothing else."""

    @abc.abstractmethod
    def fit_parts(self, parts: Mapping[str, np.ndarray], scores: Mapping[str, Score]) -> None:
        """Learns from what its parts are of normal records that they were not fitted to, (n,) each,
        and from these scores themselves, fitted."""

    @abc.abstractmethod
    def of_parts(self, parts: Mapping[str, Tensor]) -> Tensor:
        """What the parts are of some records, (N,) each → (N,)."""

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        del x
        return self.of_parts({name: outputs[SCORE_OF.format(name)] for name in self.parts})
