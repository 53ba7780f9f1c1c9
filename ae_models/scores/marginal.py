"""The likelihood of a record under a variational auto-encoder, in nats."""

import math

from keras import ops

from ae_models.ops.tensor import Tensor
from ae_models.scores.score import Outputs, Score


class NegativeLogLikelihood(Score):
    """−log 1/K·Σ_k p(x|z_k)·p(z_k) / q(z_k|x), over the K rows of the noise table: an upper bound
    of −log p(x) in expectation, no looser than the ELBO's (Burda et al. 2016)."""

    name = "negative_log_likelihood"
    resolution = 1e-5  # nats
    kinds = frozenset({"vae"})

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        del x
        weights = outputs["log_weights"]
        return math.log(weights.shape[0]) - ops.logsumexp(weights, axis=0)
