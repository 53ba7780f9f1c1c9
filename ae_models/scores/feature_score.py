"""What scores of a frozen network's features have in common."""

import abc

from ae_models.config.configuration import Configuration
from ae_models.ops.tensor import Tensor
from ae_models.scores.score import Outputs, Score


class FeatureScore(Score):
    """A score that pixels do not have. Those that are logs of distances differ by rounding as these
    do: about their own share of themselves."""

    parity = 1e-4
    resolution = 1e-4  # of a log

    @classmethod
    def refusal(cls, config: Configuration) -> str | None:
        if config.features.is_on:
            return None
        return f"needs features.backbone. Received: {config.features.backbone!r}"

    @abc.abstractmethod
    def features(self, x: Tensor, outputs: Outputs) -> Tensor:
        """What `fit` needs of each record, and all that the score is made of: (N, k)."""

    @abc.abstractmethod
    def distance(self, features: Tensor) -> Tensor:
        """The score of what `features` gives: (N, k) → (N,)."""

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        return self.distance(self.features(x, outputs))
