"""One class is normal, the others are anomalous: AUROC on the test set."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.scoreboard.controls import CONTROLS, Control
from benchmarks.scoreboard.data import Data
from benchmarks.scoreboard.recipes import RECIPES, Recipe
from benchmarks.scoreboard.rows import Row
from benchmarks.scoreboard.training import split, trained_scorer

_MOST_SEEDS = 5
_CIFAR_CLASSES = {"car": 1, "dog": 5}


@dataclasses.dataclass(frozen=True)
class _Task:
    name: str
    read: Callable[[Data], dict[str, np.ndarray]]
    classes: dict[str, int]


_DIGITS = {str(digit): digit for digit in range(10)}
_TASKS = (
    _Task("one-class MNIST", lambda data: data.mnist, _DIGITS),
    _Task("one-class Fashion-MNIST", lambda data: data.fashion, _DIGITS),
    _Task("one-class CIFAR-10, JPEG copy", lambda data: data.cifar10, _CIFAR_CLASSES),
)

NOTES = {
    task.name: """\
AUROC, in per cent, of the test images of one class against those of all others, for a model that
was trained only on that class; the mean over the classes. The first figure is that of the score
declared for the row; those of other scores are for comparison, and were not used for any choice.
"""
    for task in _TASKS
}


def rows(data: Data) -> Iterator[Row]:
    """Controls for each class, then each recipe, one seed after another."""
    for task in _TASKS:
        for name, control in CONTROLS.items():
            for case, label in task.classes.items():
                by_control = _MeasureControl(data, task, label, control)
                yield Row(task.name, name, case, 0, "", by_control)
        for seed in range(_MOST_SEEDS):
            for recipe in RECIPES.get(task.name, ()):
                if seed < recipe.seeds:
                    for case, label in task.classes.items():
                        by_recipe = _MeasureRecipe(data, task, label, recipe, seed)
                        yield Row(task.name, recipe.name, case, seed, recipe.settings, by_recipe)


def auroc(normal: np.ndarray, anomalous: np.ndarray) -> float:
    """The AUROC in per cent."""
    labels = np.repeat([0, 1], [len(normal), len(anomalous)])
    return 100.0 * float(roc_auc_score(labels, np.concatenate([normal, anomalous])))


def _parts(arrays: dict[str, np.ndarray], label: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The class's training images, the class's test images, and those of the others."""
    own = arrays["y_test"] == label
    return (
        arrays["x_train"][arrays["y_train"] == label],
        arrays["x_test"][own],
        arrays["x_test"][~own],
    )


@dataclasses.dataclass(frozen=True)
class _MeasureControl:
    data: Data
    task: _Task
    label: int
    control: Control

    def __call__(self) -> Mapping[str, float]:
        train, normal, anomalous = _parts(self.task.read(self.data), self.label)
        score = self.control(train)
        return {"AUROC": auroc(score(normal), score(anomalous))}


@dataclasses.dataclass(frozen=True)
class _MeasureRecipe:
    """Every score that the recipe computes, starting with the one it is declared with."""

    data: Data
    task: _Task
    label: int
    recipe: Recipe
    seed: int

    def __call__(self) -> Mapping[str, float]:
        train, normal, anomalous = _parts(self.task.read(self.data), self.label)
        score = trained_scorer(
            self.recipe.seeded(self.seed), split(train, self.seed, held_out=0.05)
        )
        by_normal, by_anomalous = score(normal), score(anomalous)
        found = {name: auroc(by_normal[name], by_anomalous[name]) for name in by_normal}
        return {"AUROC": found[self.recipe.score]} | found
