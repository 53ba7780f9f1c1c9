"""Training progress for people, with an upper bound on the remaining time."""

import time

from pipelines.console.progress import Progress, say
from pipelines.training.tensorboard_log import TensorBoardLog

_LEAST_STEPS, _LEAST_SECONDS = 5, 5.0  # to time, after the first step has built the graph
_SHOWN = {"loss": "loss", "val_loss": "validation loss"}


class TrainingProgress:
    """Shows each batch; after the first few, prints once how long training takes at most.

    Args:
      progress: the progress line to update.
      epochs: the maximum number of epochs.
      log: receives the losses of each epoch.
    """

    def __init__(self, progress: Progress, epochs: int, log: TensorBoardLog | None = None):
        self._progress, self._epochs, self._log = progress, epochs, log
        self._first: tuple[int, float] | None = None  # batches done, and when
        self._said = False

    def __call__(self, epoch: int, done: int, steps: int, losses: dict[str, float]) -> None:
        total = epoch * steps + done
        parts = [f"{label} {losses[name]:.5g}" for name, label in _SHOWN.items() if name in losses]
        self._progress.show(total, ", ".join([f"epoch {epoch + 1}/{self._epochs} at most", *parts]))
        if self._log is not None and "val_loss" in losses:
            self._log.add(epoch + 1, losses)
        if not self._said:
            self._estimate(total, steps)

    def _estimate(self, total: int, steps: int) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = total, now
            return
        timed, seconds = total - self._first[0], now - self._first[1]
        if timed < _LEAST_STEPS or (seconds < _LEAST_SECONDS and timed < steps):
            return
        self._said = True
        left = (self._epochs * steps - total) * seconds / timed
        say(
            f"training takes at most {duration(left)} more: {self._epochs:,} epochs of {steps:,} "
            "batches, fewer if the validation loss stops falling"
        )


def duration(seconds: float) -> str:
    """A duration for people: 40 s, 5 min, 2 h 10 min.

    >>> [duration(s) for s in (12.3, 61, 5400, 8000)]
    ['13 s', '2 min', '1 h 30 min', '2 h 14 min']
    """
    if seconds <= 60:
        return f"{-int(-seconds // 1)} s"
    minutes = -int(-seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
