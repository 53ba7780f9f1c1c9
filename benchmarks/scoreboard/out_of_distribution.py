"""One data set is normal; another, or a changed copy, is anomalous: AUROC on test images."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from ae_models.assessment.made_anomalies import blurred
from benchmarks.scoreboard.controls import CONTROLS
from benchmarks.scoreboard.data import Data
from benchmarks.scoreboard.one_class import auroc
from benchmarks.scoreboard.recipes import OUT_OF_DISTRIBUTION, Recipe
from benchmarks.scoreboard.rows import Row
from benchmarks.scoreboard.training import split, trained_scorer

TASK = "out of distribution"
NOTES = {
    TASK: """\
AUROC, in per cent, of one data set's test images against another's, or against the same images
rotated by 180° or blurred. Each row is trained on all classes of the data set in "cases". The score
was chosen by the AUROC of held-out Fashion training images against thirteen modifications (rotated,
mirrored, transposed, blurred at three strengths, sharpened, noisy, of less contrast, inverted,
shifted, rolled, halves mixed): rotated and blurred images thus took part in the choice, the other
data sets did not. File size is the absolute difference from the normal images' median PNG length,
so that it also detects both directions.
"""
}
_CONTROL_TRAIN = 10_000  # images; nearest neighbours among 60,000 take long and add nothing


def upside_down(images: np.ndarray) -> np.ndarray:
    """Each image rotated by 180°."""
    return images[:, ::-1, ::-1]


_OUTSIDE: dict[str, dict[str, Callable[[Data], np.ndarray]]] = {
    "Fashion": {
        "MNIST": lambda data: data.mnist["x_test"],
        "Fashion upside down": lambda data: upside_down(data.fashion["x_test"]),
        "Fashion blurred": lambda data: blurred(data.fashion["x_test"]),
    },
    "MNIST": {
        "Fashion": lambda data: data.fashion["x_test"],
        "MNIST blurred": lambda data: blurred(data.mnist["x_test"]),
    },
}


def rows(data: Data) -> Iterator[Row]:
    """One row per model and normal data set, with its pairs as figures; controls first."""
    for inside in _OUTSIDE:
        for name in CONTROLS:
            yield Row(TASK, name, inside, 0, "", _MeasureControl(data, inside, name))
        for recipe in OUT_OF_DISTRIBUTION:
            for seed in range(recipe.seeds):
                measure = _MeasureRecipe(data, inside, recipe, seed)
                yield Row(TASK, recipe.name, inside, seed, recipe.settings, measure)


def _pixels(data: Data, inside: str) -> dict[str, np.ndarray]:
    return {"Fashion": data.fashion, "MNIST": data.mnist}[inside]


def _figures(
    score: Callable[[np.ndarray], np.ndarray], data: Data, inside: str
) -> Mapping[str, float]:
    normal = score(_pixels(data, inside)["x_test"])
    return {name: auroc(normal, score(read(data))) for name, read in _OUTSIDE[inside].items()}


@dataclasses.dataclass(frozen=True)
class _MeasureControl:
    data: Data
    inside: str
    control: str

    def __call__(self) -> Mapping[str, float]:
        train = np.random.default_rng(0).permutation(_pixels(self.data, self.inside)["x_train"])
        return _figures(CONTROLS[self.control](train[:_CONTROL_TRAIN]), self.data, self.inside)


@dataclasses.dataclass(frozen=True)
class _MeasureRecipe:
    data: Data
    inside: str
    recipe: Recipe
    seed: int

    def __call__(self) -> Mapping[str, float]:
        train = split(_pixels(self.data, self.inside)["x_train"], self.seed, held_out=0.05)
        score = trained_scorer(self.recipe.seeded(self.seed), train)
        return _figures(lambda images: score(images)[self.recipe.score], self.data, self.inside)
