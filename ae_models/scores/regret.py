"""How much better an individually optimised posterior would suit a record."""

from ae_models.ops.tensor import Tensor
from ae_models.scores.score import Outputs, Score


class LikelihoodRegret(Score):
    """The gain in ELBO, in nats, when q(z|x) alone is optimised for the record (Xiao et al. 2020).
    It takes about a hundred passes through the decoder, so it is computed only on request."""

    name = "likelihood_regret"
    resolution = 1e-5  # nats
    kinds = frozenset({"vae"})
    by_default = False
    parity = 1e-2  # fifty steps of optimisation amplify rounding

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        del x
        return outputs["elbo_gain"]
