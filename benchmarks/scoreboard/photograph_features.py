"""Photographs, processed by the commands on features of a frozen network."""

import dataclasses
import functools
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from PIL import Image

from ae_models.backbones.feature_maps import FeatureMaps
from ae_models.config.configuration import ImageConfig
from ae_models.config.features import FeaturesConfig
from benchmarks.scoreboard.controls import CONTROLS, Control
from benchmarks.scoreboard.data import Data
from benchmarks.scoreboard.feature_controls import (
    FEATURE_CONTROLS,
    LAYERS,
    FeatureControl,
    Maps,
)
from benchmarks.scoreboard.one_class import auroc
from benchmarks.scoreboard.rows import Row
from pipelines.commands.evaluate import evaluate
from pipelines.commands.score import score
from pipelines.commands.train import train, train_configuration

TASK = "photographs, features"
NOTES = {
    TASK: """\
AUROC, in per cent, of a set's test images, after training on its normal images with `latentbeam
train`, setting only the kind of model and the seed: features of EfficientNet-Lite0 at 320 x 320,
and the score `combined`; then every score. For CIFAR-10 (JPEG copy, enlarged), one class is normal;
training uses 2,000 of its images, and every fifth test image is scored. "train" is in seconds;
"images/s" is the speed of `score` from files to Parquet, including start-up; "MB" is the size of
the bundle. Controls use all training images: those on pixels in grey at 64 x 64, those on features
stretched to 320 x 320. Controls on features train nothing.
"""
}
_SETS = ("dogs_cats", "clothing", "screw", "deeppcb", "ballscrew")
_CLASSES = {"CIFAR-10 dog": 5, "CIFAR-10 car": 1}
_KINDS = {"AE": ("ae", 3), "DAE": ("dae", 1), "VAE": ("vae", 1)}
_BACKBONE, _SIDE, _ROWS = "efficientnet_lite0", 320, 16
_PIXEL_SIDE = 64
_CIFAR_TRAIN, _CIFAR_TEST_STEP = 2000, 5
_LABEL, _ODD, _NORMAL = "label", "odd", "normal"


@dataclasses.dataclass(frozen=True)
class _Set:
    """Encoded images: normal ones for training, normal and anomalous ones for testing."""

    train: Callable[[], list[bytes]]
    test: Callable[[], tuple[list[bytes], list[bool]]]


def rows(data: Data) -> Iterator[Row]:
    """Controls on pixels and on features, then each kind of model, for each set."""
    sets = {
        **{name: _of_folder(data.photographs / name) for name in _SETS},
        **{name: _of_cifar(data, label) for name, label in _CLASSES.items()},
    }
    for name, control in CONTROLS.items():
        for case, own in sets.items():
            yield Row(TASK, name, case, 0, "pixels", _MeasurePixels(own, control))
    for case, own in sets.items():  # its maps then serve all controls
        for name, feature_control in FEATURE_CONTROLS.items():
            yield Row(TASK, name, case, 0, _BACKBONE, _MeasureFeatures(case, own, feature_control))
    for name, (kind, seeds) in _KINDS.items():
        for seed, (case, own) in itertools.product(range(seeds), sets.items()):
            yield Row(TASK, name, case, seed, kind, _MeasureModel(own, kind, seed))


@dataclasses.dataclass(frozen=True)
class _MeasurePixels:
    own: _Set
    control: Control

    def __call__(self) -> Mapping[str, float]:
        judged = self.control(_decoded(self.own.train(), "L", _PIXEL_SIDE)[..., None])
        images, odd = self.own.test()
        scores = judged(_decoded(images, "L", _PIXEL_SIDE)[..., None])
        return {"AUROC": _auroc(scores, odd)}


@dataclasses.dataclass(frozen=True)
class _MeasureFeatures:
    case: str
    own: _Set
    control: FeatureControl

    def __call__(self) -> Mapping[str, float]:
        known, seen, odd = _maps_of(self.case, self.own)
        return {"AUROC": _auroc(self.control(known)(seen), odd)}


@dataclasses.dataclass(frozen=True)
class _MeasureModel:
    own: _Set
    kind: str
    seed: int

    def __call__(self) -> Mapping[str, float]:
        with tempfile.TemporaryDirectory() as work:
            inputs = {name: str(Path(work) / f"{name}.parquet") for name in ("train", "test")}
            images = self.own.train()
            _write(inputs["train"], images, [False] * len(images))
            _write(inputs["test"], *self.own.test())
            bundle, run = str(Path(work) / "bundle"), str(Path(work) / "run")
            started = time.monotonic()
            config = train_configuration(self.kind, flags={"seed": self.seed})
            train([inputs["train"]], config, bundle)
            seconds = time.monotonic() - started
            ledger = score([inputs["test"]], bundle, run)
            found = evaluate(run, f"{_LABEL}={_ODD}")
            files = [path for path in Path(bundle).rglob("*") if path.is_file()]
            return {
                "AUROC": 100 * _auroc_of(found, "combined"),
                "train": seconds,
                "images/s": ledger["records"]["scored"] / ledger["seconds"],
                "MB": sum(path.stat().st_size for path in files) / 1e6,
                **{of["name"]: 100 * of["auroc"]["value"] for of in found["scores"]},
            }


def _auroc_of(found: Mapping[str, list[dict[str, dict[str, float]]]], name: str) -> float:
    return next(of["auroc"]["value"] for of in found["scores"] if of["name"] == name)


def _auroc(scores: np.ndarray, odd: list[bool]) -> float:
    mask = np.array(odd)
    return float(auroc(scores[~mask], scores[mask]))


def _of_folder(folder: Path) -> _Set:
    def files(split: str) -> list[Path]:
        return sorted(path for path in (folder / split).rglob("*") if path.is_file())

    def test() -> tuple[list[bytes], list[bool]]:
        (normal,) = (path.name for path in (folder / "train").iterdir())
        paths = files("test")
        return [path.read_bytes() for path in paths], [path.parent.name != normal for path in paths]

    return _Set(lambda: [path.read_bytes() for path in files("train")], test)


def _of_cifar(data: Data, label: int) -> _Set:
    def train() -> list[bytes]:
        images, labels = data.cifar10_files("train")
        return [image for image, own in zip(images, labels, strict=True) if own == label][
            :_CIFAR_TRAIN
        ]

    def test() -> tuple[list[bytes], list[bool]]:
        images, labels = data.cifar10_files("test")
        step = slice(None, None, _CIFAR_TEST_STEP)
        return images[step], [own != label for own in labels[step]]

    return _Set(train, test)


def _write(path: str, images: list[bytes], odd: list[bool]) -> None:
    labels = [_ODD if is_odd else _NORMAL for is_odd in odd]
    pq.write_table(pa.table({"image": pa.array(images, pa.binary()), _LABEL: labels}), path)


def _decoded(images: list[bytes], mode: str, side: int) -> np.ndarray:
    opened = (Image.open(pa.BufferReader(image)).convert(mode) for image in images)
    return np.stack([np.asarray(image.resize((side, side))) for image in opened])


@functools.lru_cache(maxsize=1)
def _maps_of(case: str, own: _Set) -> tuple[Maps, Maps, list[bool]]:
    """Maps of the training and the test images, and which of the latter are anomalous."""
    del case
    images, odd = own.test()
    return _maps(own.train()), _maps(images), odd


def _maps(images: list[bytes]) -> dict[str, np.ndarray]:
    features = FeatureMaps(
        FeaturesConfig(_BACKBONE, layers=LAYERS), ImageConfig(_SIDE, _SIDE, 3, 8)
    )
    spec = tf.TensorSpec((None, _SIDE, _SIDE, 3), tf.uint8)
    function = tf.function(features.maps, input_signature=[spec])
    parts = [
        [layer.numpy() for layer in function(tf.constant(_decoded(batch, "RGB", _SIDE)))]
        for batch in (images[start : start + _ROWS] for start in range(0, len(images), _ROWS))
    ]
    return dict(zip(LAYERS, map(np.concatenate, zip(*parts, strict=True)), strict=True))
