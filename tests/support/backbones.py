"""Small networks that stand for a user's own backbone."""

from pathlib import Path
from typing import Any

import keras


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
