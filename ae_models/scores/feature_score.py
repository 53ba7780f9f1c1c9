"""Shared by the scores of a frozen network's features."""

import abc

from ae_models.config.configuration import Configuration
from ae_models.ops.tensor import Tensor
from ae_models.scores.score import Outputs, Score


class FeatureScore(Score):
    """A score that is unavailable for pixels. Scores that are logs of distances inherit their
    rounding: its relative size is an absolute error of the log."""

    parity = 1e-4
    resolution = 1e-4  # of a log

    @classmethod
    def refusal(cls, config: Configuration) -> str | None:
        if config.features.is_on:
            return None
        return f"needs features.backbone. Received: {config.features.backbone!r}"

    @abc.abstractmethod
    def features(self, x: Tensor, outputs: Outputs) -> Tensor:
        """What `fit` needs from each record, and all that the score is computed from: (N, k)."""

    @abc.abstractmethod
    def distance(self, features: Tensor) -> Tensor:
        """The score from the result of `features`: (N, k) → (N,)."""

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        return self.distance(self.features(x, outputs))
