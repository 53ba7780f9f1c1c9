"""The evidence lower bound of a variational auto-encoder, and its terms, in nats."""

from ae_models.ops.tensor import Tensor
from ae_models.scores.score import Outputs, Score


class NegativeElbo(Score):
    """KL(q(z|x) ‖ p(z)) − E_q[log p(x|z)], an upper bound of −log p(x)."""

    name = "negative_elbo"
    resolution = 1e-5  # nats
    kinds = frozenset({"vae"})

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        del x
        return outputs["kl"] - outputs["expected_log_likelihood"]


class KL(Score):
    """KL(q(z|x) ‖ p(z)): how far the record's posterior is from the prior."""

    name = "kl"
    resolution = 1e-5  # nats
    kinds = frozenset({"vae"})

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        del x
        return outputs["kl"]


class ReconstructionProbability(Score):
    """−E_q[log p(x|z)] (An and Cho 2015)."""

    name = "reconstruction_probability"
    resolution = 1e-5  # nats
    kinds = frozenset({"vae"})

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        del x
        return -outputs["expected_log_likelihood"]
