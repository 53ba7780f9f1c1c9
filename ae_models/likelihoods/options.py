"""What a configuration must know of likelihoods, and what it tells them. Imports no Keras."""

import dataclasses

# Those that are distributions over [0, 1].
OF_UNIT_SCALING = frozenset({"bernoulli", "continuous_bernoulli", "discretised_logistic"})


@dataclasses.dataclass(frozen=True)
class LikelihoodOptions:
    """What a family may take from the configuration (`VariationalConfig`, which validates it)."""

    scale: str = "per_pixel"
    scale_value: float = 0.1
    min_scale: float = 0.01
    bits: int = 8
