"""Small networks that stand for a user's own backbone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Keras reads the variable of that name once, when it is imported.
KERAS_HOME = "keras.src.backend.config._KERAS_DIR"


def tiny_network(side: int | None = None, seed: int = 0) -> keras.Model:
    """Two stages: 4 channels at half of the resolution, 6 at a quarter."""
    image = keras.Input((side, side, 3))
    x: Any = keras.layers.Rescaling(1 / 127.5, -1.0)(image)
    for name, filters in (("first", 4), ("second", 6)):
        x = keras.layers.Conv2D(
            filters,
            3,
            strides=2,
            padding="same",
            activation="relu",
            kernel_initializer=keras.initializers.HeNormal(seed=seed + filters),
            name=name,
        )(x)
    return keras.Model(image, x, name="tiny")


def tiny_backbone(folder: Path, **options: Any) -> str:
    """The network in a `.keras` file; its path."""
    path = folder / "tiny.keras"
    tiny_network(**options).save(path)
    return str(path)


def saved_backbone(folder: Path, function: Callable[..., Any] | None = None) -> str:
    """The network in a SavedModel, which gives `places`, its maps, and `mean`, their means; or
    what `function` makes of the network and pixels. The folder's path."""
    network = tiny_network()
    module = tf.Module()
    module.variables_held = [variable.value for variable in network.variables]
    spec = tf.TensorSpec((None, None, None, 3), tf.float32)
    serve = tf.function(lambda x: (function or _places)(network, x), input_signature=[spec])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    return str(folder)


def _places(network: keras.Model, x: tf.Tensor) -> dict[str, tf.Tensor]:
    y = network(x)
    return {"places": y, "mean": tf.reduce_mean(y, (1, 2))}


def lambda_backbone(folder: Path) -> str:
    """A `.keras` file that holds code; its path."""
    image = keras.Input((None, None, 3))
    x = keras.layers.Lambda(lambda x: x * 2)(image)
    keras.Model(image, keras.layers.Conv2D(2, 3)(x)).save(folder / "lambda.keras")
    return str(folder / "lambda.keras")


def nan_backbone(folder: Path) -> str:
    """A `.keras` file of a network that gives no numbers; its path."""
    network = tiny_network()
    network.set_weights([np.full_like(weight, np.nan) for weight in network.get_weights()])
    network.save(folder / "nan.keras")
    return str(folder / "nan.keras")
