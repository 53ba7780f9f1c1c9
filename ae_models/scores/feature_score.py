"""What scores of a frozen network's features have in common."""

from ae_models.config.configuration import Configuration
from ae_models.scores.score import Score


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
