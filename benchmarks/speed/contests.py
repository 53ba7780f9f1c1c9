"""Two programs on the same images, alternating: how many times faster the first one is."""

import dataclasses
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.speed.bundles import make_bundle
from benchmarks.speed.inputs import make_input
from benchmarks.speed.outcome import Measure, Outcome
from benchmarks.speed.programs import Measured, run_program

_TOLERANCE = 1e-5


@dataclasses.dataclass(frozen=True)
class Side:
    """A program, identified by module and name, and the kind of input that it reads."""

    module: str
    program: str
    input: str

    def run(self, size: int, bundle: Path, output: Path) -> Measured:
        """Runs the program on `size` images."""
        return run_program(
            self.module, self.program, [make_input(self.input, size, bundle.parent), bundle, output]
        )


@dataclasses.dataclass(frozen=True)
class Contest(Measure):
    """The ratio of images per second, ours to the other's.

    Attributes:
      bundle: the model, by its name in `bundles`.
      ours: our program.
      other: the baseline.
      sizes: numbers of images; start-up cancels in the difference between the two.
      at_least: the target ratio.
      tolerance: the allowed relative difference of scores, which is greater if images are reduced
        differently; None: the other program computes no scores.
    """

    bundle: str
    ours: Side
    other: Side
    sizes: tuple[int, int]
    at_least: float
    tolerance: float | None = _TOLERANCE

    def runs(self, rounds: int) -> int:
        return 4 * rounds

    def take(self, cache: Path, rounds: int, on_run: Callable[[], object]) -> Outcome:
        bundle = make_bundle(self.bundle, cache)
        taken: list[tuple[_Marginal, _Marginal]] = []
        for number in range(rounds):
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                outputs = Path(folder) / "ours", Path(folder) / "other"
                ours = self._marginal(self.ours, bundle, outputs[0], on_run)
                other = self._marginal(self.other, bundle, outputs[1], on_run)
                if number == 0 and self.tolerance is not None:
                    self._check_alike(*outputs)
            taken.append((ours, other))
        return Outcome(
            self.name,
            tuple(other.microseconds / ours.microseconds for ours, other in taken),
            self.at_least,
            ours=_described([ours for ours, _ in taken]),
            beside=_described([other for _, other in taken]),
        )

    def _marginal(
        self, side: Side, bundle: Path, output: Path, on_run: Callable[[], object]
    ) -> "_Marginal":
        """Measures both sizes; the output of the larger one stays."""
        measured = []
        for size, folder in zip(self.sizes, (output.with_suffix(".small"), output), strict=True):
            measured.append(side.run(size, bundle, folder))
            on_run()
        small, large = measured
        images = self.sizes[1] - self.sizes[0]
        return _Marginal(1e6 * (large.seconds - small.seconds) / images, large.peak_mebibytes)

    def _check_alike(self, *outputs: Path) -> None:
        first, second = (np.sort(np.concatenate(list(_scores(output)))) for output in outputs)
        tolerance = self.tolerance or 0.0
        if first.shape != second.shape or not np.allclose(first, second, rtol=tolerance):
            raise ValueError(f"{self.name}: the two programs gave different scores")


@dataclasses.dataclass(frozen=True)
class _Marginal:
    """The cost of one more image, and the peak memory of the larger run."""

    microseconds: float
    peak_mebibytes: float


def _described(taken: list[_Marginal]) -> str:
    microseconds = statistics.median(one.microseconds for one in taken)
    peak = statistics.median(one.peak_mebibytes for one in taken)
    return f"{microseconds:,.1f} µs per image, {peak:,.0f} MiB"


def _scores(output: Path) -> Iterator[np.ndarray]:
    """Scores from a program's Parquet files, or from a run's folder `scores`."""
    folder = output / "scores" if (output / "scores").is_dir() else output
    for path in sorted(folder.glob("*.parquet")):
        column: pa.ChunkedArray = pq.read_table(path, columns=["score"])["score"]
        yield column.to_numpy()
