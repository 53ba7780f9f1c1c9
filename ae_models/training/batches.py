"""Input for Keras: (input, target) batches of scaled images, streamed from disk."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from ae_models.config.configuration import TrainingConfig
from ae_models.ops.seeds import layer_seeds
from ae_models.training.augmentation import augmented
from ae_models.training.image_store import ImageStore
from ae_models.training.preprocessing import Preprocessing
from ae_models.training.replicas import shared_among_devices

# The numbers of batches, (k,), and their images, (k, rows, H, W, C).
_Numbered = tuple[np.ndarray, np.ndarray]
_Pairs = Callable[[tf.Tensor, tuple[tf.Tensor, ...]], tuple[tf.Tensor, tf.Tensor]]


class TrainingBatches:
    """The batches of one epoch, whose order and draws depend only on the seed and the epoch number.

    Attributes:
      epoch: counted from 0, the epoch whose batches a new iteration returns.
      done: the number of batches to skip because they were already trained on.
      steps: the number of batches per epoch.
    """

    def __init__(
        self,
        store: ImageStore,
        preprocessing: Preprocessing,
        config: TrainingConfig,
        batch_size: int,
    ):
        self._store, self._config, self._batch_size = store, config, batch_size
        self.epoch, self.done = 0, 0
        self.steps = math.ceil(len(store) / batch_size)
        self.dataset = _dataset(self._numbered, store, preprocessing, config, training=True)

    def _numbered(self, store: ImageStore) -> Iterator[_Numbered]:
        """Groups of batches, the same for images and targets."""
        buffer_bytes = (self._config.shuffle_mebibytes << 20) // (2 if self._store.targets else 1)
        generator = np.random.default_rng([self._config.seed, self.epoch])
        groups = store.shuffled_batch_groups(self._batch_size, buffer_bytes, generator)
        return _numbered(groups, self.epoch * self.steps, self.done)


def validation_batches(
    store: ImageStore, preprocessing: Preprocessing, config: TrainingConfig, batch_size: int
) -> tuple[tf.data.Dataset, int]:
    """All records of a store in stored order, the same every time, and the number of batches."""
    dataset = _dataset(
        lambda each: _numbered(each.batch_groups(batch_size)), store, preprocessing, config
    )
    return dataset, math.ceil(len(store) / batch_size)


def _numbered(groups: Iterator[np.ndarray], first: int = 0, done: int = 0) -> Iterator[_Numbered]:
    """The groups with the numbers of their batches, without the batches that are done."""
    for group in groups:
        numbers = np.arange(first, first + len(group), dtype=np.int64)
        first += len(group)
        left, done = group[done:], max(0, done - len(group))
        if len(left):
            yield numbers[-len(left) :], left


def _dataset(
    groups: Callable[[ImageStore], Iterator[_Numbered]],
    store: ImageStore,
    preprocessing: Preprocessing,
    config: TrainingConfig,
    training: bool = False,
) -> tf.data.Dataset:
    """(input, target) pairs of scaled images; the target is the input if none is given."""
    stores = (store, store.targets) if store.targets else (store,)
    pixels = tf.data.Dataset.zip(tuple(_pixels(groups, each) for each in stores))
    pairs = _paired(preprocessing, config, training)
    # Two at a time, in input order.
    scaled = pixels.map(
        lambda *numbered: pairs(numbered[0][0], tuple(images for _, images in numbered)),
        num_parallel_calls=2,
        deterministic=True,
    )
    return shared_among_devices(scaled.prefetch(2))


def _paired(preprocessing: Preprocessing, config: TrainingConfig, training: bool) -> _Pairs:
    """A batch's number and pixels → input and target."""
    binarising, augmenting = itertools.islice(layer_seeds(config.seed), 2)
    steps = config.augmentation_steps if training else ()
    binarise = functools.partial(_binarised, binarising) if config.binarise else None

    def pairs(number: tf.Tensor, pixels: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
        images = [preprocessing(batch) for batch in pixels]
        if steps:
            images = augmented(images, steps, _seeds(augmenting, number))
        if binarise:
            images = [binarise(number, x) for x in images]
        return images[0], images[-1]

    return pairs


def _pixels(
    groups: Callable[[ImageStore], Iterator[_Numbered]], store: ImageStore
) -> tf.data.Dataset:
    """The number and the images, (n, H, W, C), of one batch at a time."""
    spec = (
        tf.TensorSpec((None,), tf.int64),
        tf.TensorSpec((None, None, *store.shape[1:]), store.dtype),
    )
    return tf.data.Dataset.from_generator(lambda: groups(store), output_signature=spec).unbatch()


def _seeds(seed: int, number: tf.Tensor) -> tf.Tensor:
    """The seed of a batch, (2,) int64."""
    return tf.stack([tf.constant(seed, tf.int64), number])


def _binarised(seed: int, number: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Sets each value of the batch to 1 with its grey level as the probability, or to 0."""
    drawn = tf.random.stateless_uniform(tf.shape(x), _seeds(seed, number))
    return tf.cast(drawn < x, x.dtype)
