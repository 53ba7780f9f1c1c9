"""The copy of a model that is trained: in another precision, or on several devices at once."""

import contextlib
import functools
from collections.abc import Iterator

import keras
import tensorflow as tf

from ae_models.config.configuration import TrainingConfig
from ae_models.models.base import ImageModel


@contextlib.contextmanager
def working_copy(model: ImageModel, config: TrainingConfig) -> Iterator[ImageModel]:
    """What to compile and train; `model` has its weights in the end, and stays float32 on one
    device. It is `model` itself where the configuration asks for no more than that.

    Copies are laid and kept alike on all devices by `tf.distribute.MirroredStrategy`: Keras' own
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
    """One a process: a second one would number its collective operations as the first did."""
    return tf.distribute.MirroredStrategy(devices)


def training_devices(config: TrainingConfig) -> list[str]:
    """Names of the devices to train on: GPUs, or CPUs where there is none."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    names = [device.name for device in devices]
    return names if config.devices == "all" else names[:1]


def shared_among_devices(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Batches of (input, target), each cut in the order of its records into as many shares as there
    are devices in the scope; left alone where there is one.

    Cut here, because TensorFlow hands whole batches to devices where it does not know their size.
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

    # Without end: Keras looks at one more batch before it evaluates.
    shared = batches.repeat().flat_map(shares)
    return strategy.distribute_datasets_from_function(lambda _: shared)


def _compute_in(precision: str, model: ImageModel) -> None:
    """Keras' policy of that name in every layer of the networks but their last: what they give,
    and so losses and densities, is float32, as are the weights."""
    for network in (model.encoder, model.decoder):
        for layer in network.layers[:-1]:
            layer.dtype_policy = keras.DTypePolicy(precision)
