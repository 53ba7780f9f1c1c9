"""Photographs, processed by the commands with only the kind of model set."""

import dataclasses
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.scoreboard.controls import CONTROLS, Control
from benchmarks.scoreboard.data import Data
from benchmarks.scoreboard.one_class import auroc
from benchmarks.scoreboard.rows import Row
from pipelines.commands.evaluate import evaluate
from pipelines.commands.score import score
from pipelines.commands.train import train, train_configuration

TASK = "photographs, pixels"
NOTES = {
    TASK: """\
AUROC, in per cent, of a set's test images, after training on its normal images with `latentbeam
train`, setting only the kind of model and `--features none`: first the score that training
recommends, based on anomalies made from held-out images; then every score. "error / PCA's" is the
mean squared error of reconstructing the calibration records, relative to that of the same number of
principal components of the same training records. Controls use all training images, in grey,
stretched to 64 x 64. "train" is in seconds.
"""
}
_SETS = ("clothing", "screw", "dogs_cats")
_KINDS = {"AE": "ae", "DAE": "dae"}
_SIDE = 64


def rows(data: Data) -> Iterator[Row]:
    """Controls, then each kind of model, for each set."""
    for name, control in CONTROLS.items():
        for case in _SETS:
            yield Row(TASK, name, case, 0, "", _MeasureControl(data.photographs / case, control))
    for name, kind in _KINDS.items():
        for case in _SETS:
            yield Row(TASK, name, case, 0, kind, _MeasureModel(data.photographs / case, kind))


@dataclasses.dataclass(frozen=True)
class _MeasureControl:
    folder: Path
    control: Control

    def __call__(self) -> Mapping[str, float]:
        normal = _normal(self.folder)
        judged = self.control(_grey(self.folder / "train" / normal))
        others = [path for path in (self.folder / "test").iterdir() if path.name != normal]
        anomalous = np.concatenate([judged(_grey(path)) for path in sorted(others)])
        return {"AUROC": auroc(judged(_grey(self.folder / "test" / normal)), anomalous)}


@dataclasses.dataclass(frozen=True)
class _MeasureModel:
    folder: Path
    kind: str

    def __call__(self) -> Mapping[str, float]:
        with tempfile.TemporaryDirectory() as work:
            bundle, run = str(Path(work) / "bundle"), str(Path(work) / "run")
            started = time.monotonic()
            config = train_configuration(self.kind, overrides=["features.backbone=none"])
            manifest = train([str(self.folder / "train")], config, bundle)
            seconds = time.monotonic() - started
            score([str(self.folder / "test")], bundle, run)
            found = evaluate(run, f"label!={_normal(self.folder)}")
        by_name = {of["name"]: 100 * of["auroc"]["value"] for of in found["scores"]}
        training = manifest["training"]
        return {
            "AUROC": by_name[training["recommended"]["score"]],
            "error / PCA's": training["control"]["ratio"],
            "train": seconds,
            **by_name,
        }


def _normal(folder: Path) -> str:
    """The label of the only training folder."""
    (found,) = (path.name for path in (folder / "train").iterdir())
    return found


def _grey(folder: Path) -> np.ndarray:
    """All images of a folder, (N, 64, 64, 1) uint8."""
    images = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with Image.open(path) as image:
            images.append(np.asarray(image.convert("L").resize((_SIDE, _SIDE))))
    return np.stack(images)[..., None]
