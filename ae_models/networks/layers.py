"""Shared by the architectures: activations of the hidden layers, with the units and weights that
each needs, and the linear last layer."""

from collections.abc import Iterator

import keras

_SATURATING = frozenset({"tanh", "glu"})


def units_before(activation: str, units: int) -> int:
    """The number of units a layer needs for the activation to return `units`."""
    return 2 * units if activation == "glu" else units


def hidden_initializer(activation: str, seed: int) -> keras.Initializer:
    """Weights whose variance suits the activation."""
    if activation in _SATURATING:
        return keras.initializers.GlorotUniform(seed=seed)
    return keras.initializers.HeNormal(seed=seed)


def activated(x: keras.KerasTensor, activation: str, name: str) -> keras.KerasTensor:
    """The activation as a separate operation: inside a layer, Keras assumes that `glu`'s output has
    the shape of its input."""
    if activation == "glu":
        return keras.ops.glu(x)
    return keras.layers.Activation(activation, name=name)(x)


def linear(x: keras.KerasTensor, units: int, seeds: Iterator[int]) -> keras.KerasTensor:
    """(N, ·) → (N, units): the latent, the posterior's parameters, or all values of an image."""
    initializer = keras.initializers.GlorotUniform(seed=next(seeds))
    return keras.layers.Dense(units, kernel_initializer=initializer, name="linear")(x)
