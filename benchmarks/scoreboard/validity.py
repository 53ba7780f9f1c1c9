"""Conformal p-values of held-out normal records: the share at or below each level."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from scipy import stats

from ae_models.calibration.p_values import conformal_p_values
from benchmarks.scoreboard.data import Data
from benchmarks.scoreboard.recipes import VALIDITY, Recipe
from benchmarks.scoreboard.rows import Row
from benchmarks.scoreboard.training import Split, trained_scorer

TASK = "conformal validity"
NOTES = {
    TASK: """\
The share of 2,000 held-out normal records whose p-value, against 20,000 calibration records, is at
most a level: the smallest and largest share over all scores of the model, and how many scores are
outside the 99% binomial interval. By chance, a score is outside once in 100 times (1.4 times, as
the calibration records vary too), and the scores of one model tend to be outside together.
"""
}
LEVELS = (0.01, 0.05, 0.1)
_TRAIN, _VALIDATION, _CALIBRATION, _HELD_OUT = 6_000, 500, 20_000, 2_000
_DATA_SETS: dict[str, Callable[[Data], np.ndarray]] = {
    "MNIST": lambda data: data.mnist["x_train"],
    "Fashion-MNIST": lambda data: data.fashion["x_train"],
    "CIFAR-10, JPEG copy": lambda data: data.cifar10["x_train"],
}


def rows(data: Data) -> Iterator[Row]:
    """One row per model, data set and seed; its figures are shares by score and level."""
    for case in _DATA_SETS:
        for recipe in VALIDITY:
            name = f"{case}: {recipe.name}"
            for seed in range(recipe.seeds):
                measure = _Measure(data, case, recipe, seed)
                yield Row(TASK, name, case, seed, recipe.settings, measure)


def interval(level: float) -> tuple[float, float]:
    """The interval that contains a share with 99% probability, from a binomial distribution."""
    low, high = stats.binom.interval(0.99, _HELD_OUT, level)
    return low / _HELD_OUT, high / _HELD_OUT


@dataclasses.dataclass(frozen=True)
class _Measure:
    data: Data
    case: str
    recipe: Recipe
    seed: int

    def __call__(self) -> Mapping[str, float]:
        images = np.random.default_rng(self.seed).permutation(_DATA_SETS[self.case](self.data))
        train, validation, calibration, held_out, _ = np.split(
            images, np.cumsum([_TRAIN, _VALIDATION, _CALIBRATION, _HELD_OUT])
        )
        score = trained_scorer(self.recipe.seeded(self.seed), Split(train, validation, calibration))
        known, new = score(calibration), score(held_out)
        p_values = {name: conformal_p_values(new[name], np.sort(known[name])) for name in new}
        figures: dict[str, float] = {"scores": len(p_values)}
        for level in LEVELS:
            shares = np.array([np.mean(p <= level) for p in p_values.values()])
            low, high = interval(level)
            figures[f"least at {level:g}"] = float(shares.min())
            figures[f"most at {level:g}"] = float(shares.max())
            figures[f"outside at {level:g}"] = float(np.sum((shares < low) | (shares > high)))
        return figures
