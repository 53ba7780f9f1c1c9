"""Measures an epoch of training from disk beside `keras.Model.fit` on arrays in memory.

Each side runs in a fresh process, in turn with the other; the first epoch, with what comes before
it, is left out. Both train the same network, from the same seed, on the same images in batches of
the same size, and validate on the same images after each epoch.

Example: python -m benchmarks.speed.training --only dense --rounds 3
"""

import dataclasses
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.scoreboard.data import CACHE
from benchmarks.speed.bundles import make_bundle
from benchmarks.speed.inputs import make_input
from benchmarks.speed.programs import run_program
from benchmarks.speed.training_sides import EPOCHS, MODELS, VALIDATION_SHARE

AT_LEAST = 0.95
_IMAGES = 60_000
_SIDES = ("ours", "bare")


@dataclasses.dataclass(frozen=True)
class TrainingOutcome:
    """Of one model: the rate of ours over that of bare Keras, one ratio a round."""

    model: str
    ratios: tuple[float, ...]
    microseconds: dict[str, float]  # of one training image, the median over the rounds
    peak_mebibytes: dict[str, float]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)


def measure_training(
    folder: Path, rounds: int, models: Sequence[str] = tuple(MODELS)
) -> list[TrainingOutcome]:
    """Runs both sides of each model in turn, so many rounds; inputs are kept in `folder`."""
    images = make_input("npz", _IMAGES, folder)
    bundle = make_bundle("dense", folder)
    return [_measured(model, images, bundle, folder, rounds) for model in models]


def _measured(model: str, images: Path, bundle: Path, folder: Path, rounds: int) -> TrainingOutcome:
    seen = (EPOCHS - 1) * _IMAGES * (1 - VALIDATION_SHARE)
    microseconds: dict[str, list[float]] = {side: [] for side in _SIDES}
    peaks = dict.fromkeys(_SIDES, 0.0)
    for _ in range(rounds):
        for side in _SIDES:
            with tempfile.TemporaryDirectory(dir=folder) as work:
                arguments = [images, bundle, Path(work) / "output"]
                measured = run_program("training_sides", f"{side}_{model}", arguments)
            microseconds[side].append(1e6 * measured.seconds / seen)
            peaks[side] = max(peaks[side], measured.peak_mebibytes)
    ratios = (
        bare / ours for ours, bare in zip(*(microseconds[side] for side in _SIDES), strict=True)
    )
    medians = {side: statistics.median(values) for side, values in microseconds.items()}
    return TrainingOutcome(model, tuple(ratios), medians, peaks)


@click.command(help=__doc__)
@click.option("--only", type=click.Choice(list(MODELS)), multiple=True, default=list(MODELS))
@click.option("--rounds", type=click.IntRange(1), default=5, help="Of each model: medians count.")
def main(only: tuple[str, ...], rounds: int) -> None:
    """The command line of the benchmark: a line of JSON a model."""
    folder = CACHE / "performance"
    folder.mkdir(parents=True, exist_ok=True)
    for model in only:
        (outcome,) = measure_training(folder, rounds, [model])
        reached = outcome.ratio >= AT_LEAST
        facts = {"ratio": outcome.ratio, "reached": reached, **dataclasses.asdict(outcome)}
        print(json.dumps(facts))


if __name__ == "__main__":
    main()
