"""Training with Keras, streaming from disk."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ae_models.config.configuration import TrainingConfig
from ae_models.errors import ConfigError
from ae_models.models.base import ImageModel
from ae_models.ops.seeds import layer_seeds
from ae_models.training.image_store import ImageStore
from ae_models.training.preprocessing import Preprocessing
from ae_models.training.replicas import shared_among_devices, working_copy

# Training images by which a model may be initialised.
_FIRST_SEEN, _FIRST_BYTES = 1024, 64 << 20

# Called after each batch with (epoch, batches of it done, batches in it, losses so far).
ProgressCallback = Callable[[int, int, int, dict[str, float]], None]


@dataclasses.dataclass(frozen=True)
class TrainingSummary:
    """What the manifest records of a training run."""

    epochs: int
    best_epoch: int
    loss: float
    validation_loss: float
    seconds: float


def initialise(model: ImageModel, preprocessing: Preprocessing, train: ImageStore) -> None:
    """Shows an untrained model its first records, which are a random sample of all."""
    scaled_bytes = 4 * math.prod(train.shape[1:])
    count = max(1, min(_FIRST_SEEN, _FIRST_BYTES // scaled_bytes))
    model.initialise(preprocessing(train.read(0, count)))


def fit(
    model: ImageModel,
    preprocessing: Preprocessing,
    train: ImageStore,
    validation: ImageStore,
    *,
    config: TrainingConfig,
    on_progress: ProgressCallback | None = None,
) -> TrainingSummary:
    """Trains until the validation loss stops falling, and leaves the best weights in `model`:
    those of an epoch after the warm-up, where one is long enough to get there.

    The same model seed, data and configuration give the same weights on one kind of machine.

    Raises:
      ConfigError: the loss is never finite.
    """
    started = time.monotonic()
    with working_copy(model, config) as copy:
        history = _history(
            copy,
            preprocessing,
            train=train,
            validation=validation,
            config=config,
            on_progress=on_progress,
        )
    settled = _settled_epoch(model, config)
    losses = history["val_loss"]
    if not np.isfinite(losses[settled:]).any():
        raise ConfigError(
            "training diverged: no validation loss was finite. "
            f"Received: training.learning_rate {config.learning_rate:g}"
        )
    best = settled + int(np.nanargmin(losses[settled:]))
    return TrainingSummary(
        epochs=len(losses),
        best_epoch=best + 1,
        loss=float(history["loss"][best]),
        validation_loss=float(losses[best]),
        seconds=round(time.monotonic() - started, 1),
    )


def _history(
    model: ImageModel,
    preprocessing: Preprocessing,
    train: ImageStore,
    validation: ImageStore,
    *,
    config: TrainingConfig,
    on_progress: ProgressCallback | None,
) -> dict[str, list[float]]:
    """`fit` on a model in its place: Keras' losses, one of each name an epoch."""
    steps = math.ceil(len(train) / config.batch_size)
    # XLA on a CPU compiles for longer than it saves on networks of this size.
    model.compile(optimizer=_optimizer(config, steps), jit_compile=False)
    # Otherwise the first step does it, whose graph TensorFlow then traces a second time.
    model.optimizer.build(model.trainable_variables)
    buffer_bytes = (config.shuffle_mebibytes << 20) // (2 if train.targets else 1)
    stop = keras.callbacks.EarlyStopping(
        patience=config.patience,
        restore_best_weights=True,
        start_from_epoch=_settled_epoch(model, config),
    )
    stop.set_model(model)
    callbacks = [_Epochs(model), stop, keras.callbacks.TerminateOnNaN()]
    if on_progress:
        callbacks.append(_Report(on_progress, steps))
    history: dict[str, list[float]] = model.fit(
        _dataset(lambda store: _epochs(store, buffer_bytes, config), train, preprocessing, config),
        validation_data=_dataset(
            lambda store: store.batch_groups(config.batch_size), validation, preprocessing, config
        ),
        epochs=config.epochs,
        steps_per_epoch=steps,
        validation_steps=math.ceil(len(validation) / config.batch_size),
        callbacks=callbacks,
        shuffle=False,  # the store does it
        verbose=0,
    ).history
    return history


def _settled_epoch(model: ImageModel, config: TrainingConfig) -> int:
    """The first epoch, from 0, whose weights may be kept."""
    return model.warmup_epochs if model.warmup_epochs < config.epochs else 0


def _epochs(store: ImageStore, buffer_bytes: int, config: TrainingConfig) -> Iterator[np.ndarray]:
    """Groups of batches without end, each epoch in an order of its own: the same for images and
    targets."""
    generator = np.random.default_rng(config.seed)
    while True:
        yield from store.shuffled_batch_groups(config.batch_size, buffer_bytes, generator)


def _optimizer(config: TrainingConfig, steps: int) -> keras.Optimizer:
    rate: Any = config.learning_rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, config.epochs * steps)
    optimizer = (
        keras.optimizers.Muon(rate, adam_lr_ratio=0.1)
        if config.optimizer == "muon"
        else keras.optimizers.Adam(rate)
    )
    # Gradients of a half float vanish below 6e-8.
    half = config.precision == "mixed_float16"
    return keras.optimizers.LossScaleOptimizer(optimizer) if half else optimizer


def _dataset(
    groups: Callable[[ImageStore], Iterator[np.ndarray]],
    store: ImageStore,
    preprocessing: Preprocessing,
    config: TrainingConfig,
) -> tf.data.Dataset:
    """(input, target) pairs of scaled images, the target being the input where none is given."""
    binarise = None
    if config.binarise:
        # One seed that TensorFlow can hold.
        binarise = functools.partial(_binarised, next(layer_seeds(config.seed)))

    def scaled(index: tf.Tensor, pixels: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
        images = [preprocessing(batch) for batch in pixels]
        if binarise:
            images = [binarise(index, x) for x in images]
        return images[0], images[-1]

    stores = (store, store.targets) if store.targets else (store,)
    pixels = tf.data.Dataset.zip(tuple(_pixels(groups, each) for each in stores))
    # Two at once, in the order that they came in.
    pairs = pixels.enumerate().map(scaled, num_parallel_calls=2, deterministic=True)
    return shared_among_devices(pairs.prefetch(2))


def _pixels(
    groups: Callable[[ImageStore], Iterator[np.ndarray]], store: ImageStore
) -> tf.data.Dataset:
    """The batches of the groups, one by one, (n, H, W, C)."""
    spec = tf.TensorSpec((None, None, *store.shape[1:]), store.dtype)
    return tf.data.Dataset.from_generator(lambda: groups(store), output_signature=spec).unbatch()


def _binarised(seed: int, index: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Each value of the batch 1 with its grey level as the probability, else 0."""
    seeds = tf.stack([tf.constant(seed, tf.int64), index])
    return tf.cast(tf.random.stateless_uniform(tf.shape(x), seeds) < x, x.dtype)


class _Epochs(keras.callbacks.Callback):
    """Tells an image model which epoch begins."""

    def __init__(self, model: ImageModel):
        super().__init__()
        self._image_model = model

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        del logs
        self._image_model.begin_epoch(epoch)


class _Report(keras.callbacks.Callback):
    def __init__(self, on_progress: ProgressCallback, steps: int):
        super().__init__()
        self._on_progress, self._steps, self._epoch = on_progress, steps, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        del logs
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._on_progress(self._epoch, batch + 1, self._steps, logs or {})

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._on_progress(epoch, self._steps, self._steps, logs or {})
