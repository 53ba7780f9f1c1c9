"""The likelihood of a record, corrected by the length of a general-purpose code."""

import math

import tensorflow as tf

from ae_models.config.configuration import Configuration
from ae_models.ops.tensor import Tensor
from ae_models.scores.marginal import NegativeLogLikelihood
from ae_models.scores.score import Outputs, Score

_NATS_PER_BYTE = 8.0 * math.log(2.0)
_PNG_CHANNELS = (1, 3, 4)


class ComplexityAdjusted(Score):
    """negative_log_likelihood − L(x), in nats, with L the length of the record's own PNG (Serrà et
    al. 2020): high for records that are improbable although they are simple.

    Both terms are in nats, so the likelihood must be one of the pixels' levels, not a density.
    """

    name = "complexity_adjusted"
    resolution = 1e-5  # nats
    kinds = frozenset({"vae"})
    by_default = False
    parity = 1e-4  # a difference of two large numbers

    @classmethod
    def refusal(cls, config: Configuration) -> str | None:
        likelihood = getattr(config.model, "likelihood", None)
        if likelihood != "discretised_logistic":
            return (
                "needs model.likelihood 'discretised_logistic', whose log p is comparable with a "
                f"code length. Received: {likelihood!r}"
            )
        if config.image.channels not in (None, *_PNG_CHANNELS):
            return f"needs 1, 3 or 4 channels, as in PNG. Received: {config.image.channels}"
        return None

    def __call__(self, x: Tensor, outputs: Outputs) -> Tensor:
        return NegativeLogLikelihood()(x, outputs) - code_length(outputs["pixels"])


def code_length(pixels: Tensor) -> Tensor:
    """The length of each image's PNG, in nats: (N, H, W, C) uint8 or uint16 → (N,) float32."""
    encoded = tf.map_fn(tf.io.encode_png, pixels, fn_output_signature=tf.TensorSpec((), tf.string))
    return tf.cast(tf.strings.length(encoded), tf.float32) * _NATS_PER_BYTE
