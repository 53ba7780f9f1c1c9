"""Optimises the posterior of single records: the inner loop of the likelihood regret."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ae_models.ops.tensor import Tensor

_RATE = 0.1  # of Adam, in units of the encoder's raw outputs
_FIRST_DECAY, _SECOND_DECAY, _EPSILON = 0.9, 0.999, 1e-7


def optimised_gain(elbo: Callable[[Tensor], Tensor], parameters: Tensor, steps: int) -> Tensor:
    """How much `steps` steps of Adam raise each record's bound above that of the encoder.

    The records' parameters are optimised in parallel without affecting one another: each step
    follows the gradient of a sum of bounds, each of which depends on one record alone. The best
    bound along the way counts, so that the gain is never negative (Xiao et al. 2020).

    Args:
      elbo: raw posterior parameters, (N, ·), → the bound in nats, (N,).
      parameters: the encoder's parameters.
      steps: the number of steps, the same for every record.
    """
    start = elbo(parameters)
    zeros = tf.zeros_like(parameters)

    def step(index: Tensor, at: Tensor, first: Tensor, second: Tensor, best: Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(at)
            value = elbo(at)
        gradient = tape.gradient(value, at)
        count = tf.cast(index + 1, at.dtype)
        first = _FIRST_DECAY * first + (1.0 - _FIRST_DECAY) * gradient
        second = _SECOND_DECAY * second + (1.0 - _SECOND_DECAY) * tf.square(gradient)
        mean = first / (1.0 - _FIRST_DECAY**count)
        size = tf.sqrt(second / (1.0 - _SECOND_DECAY**count)) + _EPSILON
        return index + 1, at + _RATE * mean / size, first, second, tf.maximum(best, value)

    _, at, _, _, best = tf.while_loop(
        lambda index, *_: index < steps, step, (0, parameters, zeros, zeros, start)
    )
    return tf.maximum(best, elbo(at)) - start
