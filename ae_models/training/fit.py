"""Training with Keras, one epoch at a time."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ae_models.config.budget import Budget
from ae_models.config.configuration import TrainingConfig
from ae_models.errors import ConfigError
from ae_models.models.base import ImageModel
from ae_models.training.batches import TrainingBatches, validation_batches
from ae_models.training.checkpoint import Checkpoint, Standing
from ae_models.training.image_store import ImageStore
from ae_models.training.preprocessing import Preprocessing
from ae_models.training.principal_components import sample, with_augmented
from ae_models.training.replicas import working_copy

_SECONDS_BETWEEN_CHECKPOINTS = 120.0  # within an epoch
_FIRST_BYTES = 256 << 20  # of scaled images with which a model may be initialised

# Called after each batch with (epoch, completed batches, batches per epoch, losses so far).
ProgressCallback = Callable[[int, int, int, dict[str, float]], None]


@dataclasses.dataclass(frozen=True)
class TrainingSummary:
    """The manifest's facts about a training.

    Attributes:
      epochs: the number of epochs.
      best_epoch: counted from 1, the epoch whose weights were kept; 0: before the first.
      loss, validation_loss: of that epoch; `loss` is None before the first.
      seconds: the duration.
      curves: `loss` of each epoch, and `validation_loss` of each and before the first; None for
        values that are not finite.
    """

    epochs: int
    best_epoch: int
    loss: float | None
    validation_loss: float
    seconds: float
    curves: dict[str, list[float | None]]


def initialise(
    model: ImageModel,
    preprocessing: Preprocessing,
    train: ImageStore,
    config: TrainingConfig | None = None,
) -> None:
    """Initialises an untrained model with its first records, which are a random sample, and their
    augmentations by `config`."""
    if not model.first_seen:
        return
    config = config or TrainingConfig()
    steps = config.augmentation_steps
    stores = (train, train.targets) if train.targets else (train,)
    most_bytes = _FIRST_BYTES // len(stores) >> len(steps)  # each step doubles the images
    images = [sample(preprocessing, store, most_bytes, model.first_seen) for store in stores]
    model.initialise(*with_augmented(images, steps, config.seed))


def fit(
    model: ImageModel,
    preprocessing: Preprocessing,
    train: ImageStore,
    validation: ImageStore,
    *,
    config: TrainingConfig,
    on_progress: ProgressCallback | None = None,
    checkpoint: Path | None = None,
) -> TrainingSummary:
    """Trains until the validation loss stops falling, and leaves the best weights in `model`: the
    initial ones, or those of an epoch after the warm-up, if training is longer than that.

    The same model seed, data and configuration give the same weights on one kind of machine.

    Args:
      model: an initialised model.
      preprocessing: converts pixels to scaled images.
      train, validation: the records.
      config: values that are None follow from the number of records.
      on_progress: called after each batch.
      checkpoint: a file that is written after each epoch and every two minutes; if it already
        exists, training resumes from it, with the same result as without the interruption.

    Raises:
      ConfigError: the loss is never finite.
      InputError: the checkpoint is damaged, or belongs to another model.
    """
    budget = config.budget(len(train))
    with working_copy(model, config) as copy:
        batches = TrainingBatches(train, preprocessing, config, budget.batch_size)
        held_out = validation_batches(validation, preprocessing, config, budget.batch_size)
        work = _Training(copy, batches, held_out, config, budget, checkpoint, on_progress)
        work.run()
    return work.summary()


class _Training:
    """A model and the progress of its training."""

    def __init__(
        self,
        model: ImageModel,
        batches: TrainingBatches,
        validation: tuple[tf.data.Dataset, int],
        config: TrainingConfig,
        budget: Budget,
        checkpoint: Path | None,
        on_progress: ProgressCallback | None,
    ):
        self._model, self._batches, self._validation = model, batches, validation
        self._config, self._budget, self._on_progress = config, budget, on_progress
        self._file = None if checkpoint is None else Checkpoint(checkpoint)
        self._settled = model.warmup_epochs if model.warmup_epochs < budget.epochs else 0
        # XLA on a CPU takes longer to compile than it saves on networks of this size.
        model.compile(
            optimizer=_optimizer(config, budget.epochs * batches.steps), jit_compile=False
        )
        # Without this, the first step does it, and TensorFlow traces its graph a second time.
        model.optimizer.build(model.trainable_variables)
        self._started, self._standing = time.monotonic(), Standing()
        self._best: list[np.ndarray] = []

    def run(self) -> None:
        """Trains, and leaves the best weights in the model.

        Raises:
          ConfigError: the loss was never finite.
        """
        self._begin()
        held_out, steps = self._validation
        callbacks = [_Steps(self)]
        while not self._is_done():
            epoch, done = self._standing.epoch, self._standing.step
            self._model.begin_epoch(epoch)
            self._batches.epoch, self._batches.done = epoch, done
            logs = self._model.fit(
                self._batches.dataset,
                validation_data=held_out,
                validation_steps=steps,
                initial_epoch=epoch,
                epochs=epoch + 1,
                steps_per_epoch=self._batches.steps - done,
                callbacks=callbacks,
                shuffle=False,  # the store shuffles
                verbose=0,
            ).history
            self._end_epoch(float(logs["loss"][0]), float(logs["val_loss"][0]))
        if not np.isfinite(self._standing.validation_losses[1:]).any():
            if self._file is not None:
                self._file.remove()  # resuming from it would end here again
            raise ConfigError(
                "training diverged: no validation loss was finite. "
                f"Received: training.learning_rate {self._config.learning_rate:g}"
            )
        self._model.set_weights(self._best)

    def _begin(self) -> None:
        if self._file is not None and self._file.exists():
            self._standing, self._best = self._file.restore(self._model)
            self._started -= self._standing.seconds
            return
        held_out, steps = self._validation
        before = float(self._model.evaluate(held_out, steps=steps, verbose=0))
        self._standing = Standing(validation_losses=(before,))
        self._best = self._model.get_weights()

    def _is_done(self) -> bool:
        """Whether all epochs are done, or the loss has stopped falling or is not finite."""
        losses = self._standing.validation_losses
        if self._standing.epoch >= self._budget.epochs:  # which may be fewer than at the start
            return True
        if self._standing.step:
            return False
        diverged = self._standing.epoch > 0 and not np.isfinite(losses[-1])
        waited = self._standing.epoch - max(self._standing.best_epoch, self._settled)
        return diverged or waited >= self._budget.patience

    def _end_epoch(self, loss: float, validation_loss: float) -> None:
        before, is_best = self._standing, self._is_best(validation_loss)
        losses = (*before.losses, loss)
        self._standing = Standing(
            epoch=len(losses),
            best_epoch=len(losses) if is_best else before.best_epoch,
            losses=losses,
            validation_losses=(*before.validation_losses, validation_loss),
            seconds=self._seconds(),
        )
        if is_best:
            self._best = self._model.get_weights()
        self.save(self._standing)
        if self._on_progress:
            told = {"loss": loss, "val_loss": validation_loss}
            self._on_progress(len(losses) - 1, self._batches.steps, self._batches.steps, told)

    def _is_best(self, validation_loss: float) -> bool:
        """Whether the epoch that ends has the least loss so far. Epochs before the end of a
        warm-up, which trains with a different loss, no longer count once there is one after it."""
        if not np.isfinite(validation_loss):
            return False
        best = self._standing.best_epoch
        if self._settled and best <= self._settled <= self._standing.epoch:
            return True
        least = self._standing.validation_losses[best]
        return validation_loss < least or not np.isfinite(least)

    def end_step(self, done: int, logs: dict[str, float]) -> None:
        """Called after a step of an epoch, with the number of completed steps."""
        if self._on_progress:
            self._on_progress(self._standing.epoch, done, self._batches.steps, logs)

    def save_within(self, done: int) -> None:
        """Saves the progress within an epoch."""
        self.save(dataclasses.replace(self._standing, step=done, seconds=self._seconds()))

    def save(self, standing: Standing) -> None:
        if self._file is not None:
            self._file.save(self._model, standing, self._best)

    @property
    def steps(self) -> int:
        """The number of steps per epoch."""
        return self._batches.steps

    @property
    def done_before(self) -> int:
        """The number of the epoch's steps that an earlier process completed."""
        return self._batches.done

    def _seconds(self) -> float:
        return round(time.monotonic() - self._started, 1)

    def summary(self) -> TrainingSummary:
        """The summary of a training that has ended."""
        losses, validation_losses = self._standing.losses, self._standing.validation_losses
        best = self._standing.best_epoch
        return TrainingSummary(
            epochs=len(losses),
            best_epoch=best,
            loss=losses[best - 1] if best else None,
            validation_loss=validation_losses[best],
            seconds=self._standing.seconds,
            curves={"loss": _finite(losses), "validation_loss": _finite(validation_losses)},
        )


def _finite(losses: Sequence[float]) -> list[float | None]:
    """Losses as JSON can represent them."""
    return [loss if np.isfinite(loss) else None for loss in losses]


def _optimizer(config: TrainingConfig, steps: int) -> keras.Optimizer:
    """The optimiser for `steps` steps in total."""
    rate: Any = config.learning_rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    optimizer = (
        keras.optimizers.Muon(rate, adam_lr_ratio=0.1)
        if config.optimizer == "muon"
        else keras.optimizers.Adam(rate)
    )
    # Half-float gradients underflow below 6e-8.
    half = config.precision == "mixed_float16"
    return keras.optimizers.LossScaleOptimizer(optimizer) if half else optimizer


class _Steps(keras.callbacks.Callback):
    """Reports steps to a training, and makes it save its progress at intervals."""

    def __init__(self, training: _Training):
        super().__init__()
        self._training, self._first, self._kept = training, 0, time.monotonic()
        self._sums: list[np.ndarray] = []

    def on_train_begin(self, logs: Any = None) -> None:
        del logs
        self._first = self._training.done_before
        self._sums = [variable.numpy() for variable in self.model.metrics_variables]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Keras resets the sums of the losses; for a resumed epoch, they are restored."""
        del epoch, logs
        if self._first:
            for variable, value in zip(self.model.metrics_variables, self._sums, strict=True):
                variable.assign(value)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        done, losses = self._first + batch + 1, logs or {}
        self._training.end_step(done, losses)
        if not np.isfinite(losses.get("loss", 0.0)):
            self.model.stop_training = True
            return
        is_last = done == self._training.steps  # the end of the epoch is saved anyway
        if not is_last and time.monotonic() - self._kept >= _SECONDS_BETWEEN_CHECKPOINTS:
            self._training.save_within(done)
            self._kept = time.monotonic()
