"""The facts about likelihoods that a configuration needs, and their options. Imports no Keras."""

import dataclasses

# The distributions over [0, 1].
OF_UNIT_SCALING = frozenset({"bernoulli", "continuous_bernoulli", "discretised_logistic"})


@dataclasses.dataclass(frozen=True)
class LikelihoodOptions:
    """The configuration's options for a family (`VariationalConfig` validates them)."""

    scale: str = "per_pixel"
    scale_value: float = 0.1
    min_scale: float = 0.01
    bits: int = 8
