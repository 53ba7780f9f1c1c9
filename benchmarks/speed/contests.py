"""Two programs on the same images, in turn: how many times faster the first is."""

import dataclasses
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.speed.inputs import make_input
from benchmarks.speed.measure import Measured, run_program

_TOLERANCE = 1e-5


@dataclasses.dataclass(frozen=True)
class Side:
    """A program, by its module and name, and the kind of input that it reads."""

    module: str
    program: str
    input: str
    suffix: str = ""  # what follows the path, as `#part` does


@dataclasses.dataclass(frozen=True)
class Contest:
    """What is compared, and what ratio it must reach.

    Attributes:
      name: the row of the page.
      bundle: the model, by its name in `bundles`.
      ours: is to be the faster.
      other: the one beside it.
      sizes: images; start-up cancels in the difference between the two.
      at_least: the rate of ours over that of the other.
      same_scores: whether both are checked to have scored alike; not where they resize differently.
    """

    name: str
    bundle: str
    ours: Side
    other: Side
    sizes: tuple[int, int]
    at_least: float
    same_scores: bool = True


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a contest gave, one ratio a round."""

    contest: Contest
    ratios: tuple[float, ...]
    microseconds: dict[str, float]  # of one image, marginal, the median over the rounds
    peak_mebibytes: dict[str, tuple[float, float]]  # at either size

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    def described(self) -> dict[str, Any]:
        """As JSON has it."""
        values = dataclasses.asdict(self)
        return {**values, "ratio": self.ratio, "reached": self.ratio >= self.contest.at_least}


def hold(
    contest: Contest, bundle: Path, folder: Path, rounds: int, on_run: Callable[[], object]
) -> Outcome:
    """Runs both programs on both sizes, in turn, so many rounds.

    Raises:
      ValueError: they scored differently.
    """
    marginal: dict[str, list[float]] = {"ours": [], "other": []}
    peaks: dict[str, tuple[float, float]] = {}
    for number in range(rounds):
        outputs = {}
        for name, side in (("ours", contest.ours), ("other", contest.other)):
            small, large = (
                _run(side, size, bundle, folder, f"{name}-{number}-{size}", on_run)
                for size in contest.sizes
            )
            images = contest.sizes[1] - contest.sizes[0]
            marginal[name].append(1e6 * (large.seconds - small.seconds) / images)
            peaks[name] = (small.peak_mebibytes, large.peak_mebibytes)
            outputs[name] = folder / f"{name}-{number}-{contest.sizes[1]}"
        if number == 0 and contest.same_scores:
            _check_same(*outputs.values())
    ratios = tuple(
        other / ours for ours, other in zip(marginal["ours"], marginal["other"], strict=True)
    )
    medians = {name: statistics.median(values) for name, values in marginal.items()}
    return Outcome(contest, ratios, medians, peaks)


def _run(
    side: Side, size: int, bundle: Path, folder: Path, output: str, on_run: Callable[[], object]
) -> Measured:
    uri = f"{make_input(side.input, size, bundle.parent)}{side.suffix}"
    measured = run_program(side.module, side.program, [uri, bundle, folder / output])
    on_run()
    return measured


def _check_same(*outputs: Path) -> None:
    first, second = (np.sort(np.concatenate(list(_scores(output)))) for output in outputs)
    if first.shape != second.shape or not np.allclose(first, second, rtol=_TOLERANCE):
        raise ValueError(f"{outputs[0].name} and {outputs[1].name} scored differently")


def _scores(output: Path) -> Iterator[np.ndarray]:
    """Of the Parquet files of a program, or of a run's folder `scores`."""
    folder = output / "scores" if (output / "scores").is_dir() else output
    for path in sorted(folder.glob("*.parquet")):
        column: pa.ChunkedArray = pq.read_table(path, columns=["score"])["score"]
        yield column.to_numpy()
