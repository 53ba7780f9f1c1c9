"""Estimates log p(x) of a variational auto-encoder by importance sampling."""

import math

import keras
import numpy as np
import tensorflow as tf

from ae_models.models.variational import VariationalAutoencoder


def log_marginal_likelihood(
    model: VariationalAutoencoder, x: np.ndarray, samples: int, seed: int, decoded_rows: int = 8192
) -> np.ndarray:
    """log 1/K·Σ_k p(x | z_k)·p(z_k) / q(z_k | x), in nats, (N,) float64 (Burda et al. 2016).

    Unlike the score `negative_log_likelihood`, it draws z afresh for every record, so that errors
    of different records are independent, and their mean approaches that of log p(x) from below.

    Args:
      model: with any families.
      x: (N, H, W, C) float32, scaled.
      samples: K.
      seed: for the draws.
      decoded_rows: the number of images decoded at a time, which bounds the memory.
    """
    per_record = min(samples, decoded_rows)
    rounds = math.ceil(samples / per_record)
    records = max(1, decoded_rows // per_record)

    seeds = keras.random.SeedGenerator(seed)

    @tf.function(reduce_retracing=True)
    def log_weights(images: tf.Tensor) -> tf.Tensor:
        return model.log_weights(images, per_record, seeds)

    parts = [np.empty(0)]
    for start in range(0, len(x), records):
        images = tf.constant(x[start : start + records])
        found = [log_weights(images).numpy() for _ in range(rounds)]
        kept = np.concatenate(found)[:samples].astype(np.float64)
        parts.append(np.logaddexp.reduce(kept, axis=0) - math.log(samples))
    return np.concatenate(parts)
