"""An epoch of training from disk, compared with `keras.Model.fit` on arrays in memory."""

import dataclasses
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.speed.bundles import make_bundle
from benchmarks.speed.inputs import make_input
from benchmarks.speed.outcome import Measure, Outcome
from benchmarks.speed.programs import Measured, run_program
from benchmarks.speed.training_sides import EPOCHS, VALIDATION_SHARE

_IMAGES = 30_000


@dataclasses.dataclass(frozen=True)
class Training(Measure):
    """The ratio of training images per second, ours to bare Keras's.

    Both train the same network, from the same seed, on the same images in batches of the same size,
    and validate on the same images after each epoch. The first epoch and anything before it are not
    counted.

    Attributes:
      model: a name of `training_sides.MODELS`.
      at_least: the target ratio.
    """

    model: str
    at_least: float

    def runs(self, rounds: int) -> int:
        return 2 * rounds

    def take(self, cache: Path, rounds: int, on_run: Callable[[], object]) -> Outcome:
        images, bundle = make_input("npz", _IMAGES, cache), make_bundle("dense", cache)
        taken: list[tuple[Measured, ...]] = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                sides = [f"{side}_{self.model}" for side in ("ours", "bare")]
                measured = []
                for side in sides:
                    arguments = [images, bundle, Path(folder) / side]
                    measured.append(run_program("training_sides", side, arguments))
                    on_run()
            taken.append(tuple(measured))
        return Outcome(
            self.name,
            tuple(bare.seconds / ours.seconds for ours, bare in taken),
            self.at_least,
            ours=self._described([ours for ours, _ in taken]),
            beside=self._described([bare for _, bare in taken]),
        )

    def _described(self, taken: list[Measured]) -> str:
        images = (EPOCHS[self.model] - 1) * _IMAGES * (1 - VALIDATION_SHARE)
        microseconds = 1e6 * statistics.median(one.seconds for one in taken) / images
        peak = statistics.median(one.peak_mebibytes for one in taken)
        return f"{microseconds:,.1f} µs per image, {peak:,.0f} MiB"
