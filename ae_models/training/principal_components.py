"""Principal components of the training records, by which augmentations are chosen and the learning
of an auto-encoder is judged."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ae_models.config.steps import Step
from ae_models.training.augmentation import augmented
from ae_models.training.image_store import ImageStore
from ae_models.training.preprocessing import Preprocessing

_MOST_BYTES = 256 << 20  # of scaled images to which components are fitted


def sample(
    preprocessing: Preprocessing,
    store: ImageStore,
    most_bytes: int = _MOST_BYTES,
    most_records: int | None = None,
) -> np.ndarray:
    """The first records of a store, which are a random sample of it: scaled, (n, H, W, C)."""
    size = 4 * math.prod(store.shape[1:])
    count = max(2, min(len(store), most_bytes // size, most_records or len(store)))
    parts = [
        np.asarray(preprocessing(store.read(start, min(start + 256, count))))
        for start in range(0, count, 256)
    ]
    return np.concatenate(parts)


def with_augmented(
    sets: Sequence[np.ndarray], steps: Sequence[Step], seed: int
) -> list[np.ndarray]:
    """Each set of images, (N, H, W, C), followed by the same images changed, once for each step
    applied to everything before it; the same changes in all sets."""
    for index, step in enumerate(steps):
        mirrored = _MIRRORED.get(step.name)
        changed: Sequence[Any] = (
            augmented(sets, [step], tf.constant([seed, index], tf.int64))
            if mirrored is None
            else [np.flip(images, mirrored) for images in sets]
        )
        sets = [np.concatenate(pair) for pair in zip(sets, changed, strict=True)]
    return list(sets)


_MIRRORED = {"flip": 2, "flip_vertical": 1}  # applied to every image, by the axis to reverse
