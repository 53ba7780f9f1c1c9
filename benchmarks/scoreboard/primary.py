"""The choice of the default primary score, using only data of the training class."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from ae_models.assessment.made_anomalies import ANOMALIES
from benchmarks.scoreboard.data import Data
from benchmarks.scoreboard.one_class import auroc
from benchmarks.scoreboard.recipes import PRIMARY, Recipe
from benchmarks.scoreboard.rows import Row
from benchmarks.scoreboard.training import split, trained_scorer

TASK = "primary score, on training-class data"
NOTES = {
    TASK: """\
AUROC, in per cent, of held-out records of the normal class against anomalies made from them: a
patch moved, halves swapped between records, warped elastically, thickened, thinned, blurred,
rotated by 45°; the mean over these. No other class and no test set is involved: default scores are
chosen by these figures.
"""
}
_CLASSES = (2, 8)
_DATA_SETS: dict[str, Callable[[Data], dict[str, np.ndarray]]] = {
    "MNIST": lambda data: data.mnist,
    "Fashion": lambda data: data.fashion,
}


def rows(data: Data) -> Iterator[Row]:
    """One row per kind of model, data set and class; its figures are the scores'."""
    for recipe in PRIMARY:
        for name in _DATA_SETS:
            for label in _CLASSES:
                measure = _Measure(data, name, label, recipe)
                yield Row(TASK, recipe.name, f"{name} {label}", 0, recipe.settings, measure)


@dataclasses.dataclass(frozen=True)
class _Measure:
    """The AUROC of each score, averaged over the ways to make held-out records anomalous."""

    data: Data
    data_set: str
    label: int
    recipe: Recipe

    def __call__(self) -> Mapping[str, float]:
        arrays = _DATA_SETS[self.data_set](self.data)
        parts = split(arrays["x_train"][arrays["y_train"] == self.label], 0)
        score = trained_scorer(self.recipe.config, parts)
        generator = np.random.default_rng(0)
        normal = score(parts.calibration)
        changed = [score(change(parts.calibration, generator)) for change in ANOMALIES.values()]
        return {
            name: float(np.mean([auroc(normal[name], other[name]) for other in changed]))
            for name in normal
        }
