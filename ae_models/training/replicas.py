"""The copy of a model that is trained in another precision, or on several devices."""

import contextlib
import functools
from collections.abc import Iterator

import keras
import tensorflow as tf

from ae_models.config.configuration import TrainingConfig
from ae_models.models.base import ImageModel


@contextlib.contextmanager
def working_copy(model: ImageModel, config: TrainingConfig) -> Iterator[ImageModel]:
    """The model to compile and train; `model` receives its weights at the end, and stays float32 on
    one device. It is `model` itself if the configuration asks for nothing else.

    `tf.distribute.MirroredStrategy` keeps the copies on all devices equal: Keras' own
    `keras.distribution` is a prototype on TensorFlow.
    """
    devices = training_devices(config)
    if config.precision == "float32" and len(devices) == 1:
        yield model
        return
    with contextlib.ExitStack() as scope:
        if len(devices) > 1:
            scope.enter_context(_strategy(tuple(devices)).scope())
        copy = type(model).from_config(model.get_config())
        copy.set_weights(model.get_weights())
        _compute_in(config.precision, copy)
        yield copy
    model.set_weights(copy.get_weights())


@functools.cache
def _strategy(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One per process: a second one would number its collective operations like the first."""
    return tf.distribute.MirroredStrategy(devices)


def training_devices(config: TrainingConfig) -> list[str]:
    """The names of the devices to train on: GPUs, or CPUs if there are none."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    names = [device.name for device in devices]
    return names if config.devices == "all" else names[:1]


def shared_among_devices(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Splits batches of (input, target), in record order, into one share for each device in the
    scope; unchanged if there is one device.

    They are split here because TensorFlow sends full batches to devices if it does not know their
    size.
    """
    strategy = tf.distribute.get_strategy()
    count = strategy.num_replicas_in_sync
    if count == 1:
        return batches

    def shares(*pair: tf.Tensor) -> tf.data.Dataset:
        ends = tf.range(count + 1) * tf.shape(pair[0])[0] // count
        return tf.data.Dataset.range(count).map(
            lambda index: tuple(images[ends[index] : ends[index + 1]] for images in pair)
        )

    # Endless, because Keras reads one more batch before it evaluates.
    shared = batches.repeat().flat_map(shares)
    return strategy.distribute_datasets_from_function(lambda _: shared)


def _compute_in(precision: str, model: ImageModel) -> None:
    """Sets Keras' policy of that name in every layer of the networks except the last: their output,
    and so losses and densities, are float32, as are the weights."""
    for network in (model.encoder, model.decoder):
        for layer in network.layers[:-1]:
            layer.dtype_policy = keras.DTypePolicy(precision)
