"""The models that the scoreboard measures, their settings fixed on training-class data alone.

Settings were compared by the AUROC of held-out training records of the normal class against
anomalies made from them (patches moved, halves swapped, shapes warped, thickened and thinned):
other classes and test sets were looked at when a recipe was settled, once.
"""

import dataclasses

from ae_models.config import (
    Configuration,
    PreprocessingConfig,
)

_FULL_RANGE = PreprocessingConfig("full_range")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A model with its settings, and the score that it is declared with."""

    name: str
    config: Configuration
    score: str
    seeds: int = 5

    @property
    def settings(self) -> str:
        """What differs from the defaults, for the page."""
        parts = [self.config.model.kind, self.score]
        for section in (self.config.model, self.config.training):
            for field in dataclasses.fields(section):
                value = getattr(section, field.name)
                if value != field.default:
                    parts.append(f"{field.name} {value}")
        return "; ".join(parts)

    def seeded(self, seed: int) -> Configuration:
        """The configuration with a seed of its own."""
        training = dataclasses.replace(self.config.training, seed=seed)
        return dataclasses.replace(self.config, training=training)
