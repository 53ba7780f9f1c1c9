"""The images and the model that every engine is given, and Spark as a reader."""

import functools
import importlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

from benchmarks.scoreboard.data import Data
from deploy.local.artifacts import pyspark_home
from pipelines.commands.train import train, train_configuration
from tests.engines.scoring import ENGINES, Outcome, score
from transforms.records.pixels import raw_metadata

_FILES, _IMAGES = 20, 60_000


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 20 Parquet files with 60,000 images of 28 × 28 in all, and two bad records in
    each file: MNIST's from the folder that LATENTBEAM_DATA names, else made ones."""
    folder = tmp_path_factory.mktemp("images")
    source = os.environ.get("LATENTBEAM_DATA")
    pixels = Data(Path(source)).mnist["x_train"] if source else _made_images()
    for number, part in enumerate(np.array_split(pixels[:_IMAGES], _FILES)):
        cells = [image.tobytes() for image in part]
        cells[7], cells[11] = None, b"too short"
        ids = pa.array([f"{number:02d}-{row:05d}" for row in range(len(cells))])
        image = pa.field("image", pa.binary(), metadata=raw_metadata((28, 28, 1), "uint8"))
        table = pa.table(
            [ids, pa.array(cells, pa.binary())], pa.schema([("id", pa.string()), image])
        )
        pq.write_table(table, folder / f"part-{number:02d}.parquet", row_group_size=1000)
    return folder


def _made_images() -> np.ndarray:
    """Digits of 8 × 8, three times as large, each with noise of its own, (60000, 28, 28, 1)."""
    generator = np.random.default_rng(0)
    digits = np.kron(load_digits().images, np.ones((3, 3))) * 15
    digits = np.pad(digits, ((0, 0), (2, 2), (2, 2)))
    chosen = digits[generator.integers(len(digits), size=_IMAGES)]
    noise = generator.integers(0, 16, chosen.shape)
    return (chosen + noise)[..., np.newaxis].astype(np.uint8)


@pytest.fixture(scope="session")
def bundle_28(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dense VAE, the kind with the most columns."""
    path = tmp_path_factory.mktemp("bundles") / "vae"
    overrides = ["model.network=dense", "model.latent_dim=10"]
    config = train_configuration("vae", overrides=overrides, flags={"epochs": 1})
    train([str(images / "part-00.parquet")], config, str(path))
    return path


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 4 Parquet files with 240 JPEGs, parts of a photograph, and a bad one in each."""
    folder, generator = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    photograph = Image.fromarray(load_sample_image("china.jpg"))
    for number in range(4):
        cells = [_part_of(photograph, generator) for _ in range(60)]
        cells[7] = cells[7][:200]
        ids = pa.array([f"{number}-{row:02d}" for row in range(len(cells))])
        table = pa.table({"id": ids, "image": pa.array(cells, pa.binary())})
        pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=20)
    return folder


def _part_of(photograph: Image.Image, generator: np.random.Generator) -> bytes:
    side = int(generator.integers(100, 200))
    left, top = generator.integers(0, 640 - side), generator.integers(0, 427 - side)
    encoded = io.BytesIO()
    photograph.crop((left, top, left + side, top + side)).save(encoded, "jpeg")
    return encoded.getvalue()


@pytest.fixture(scope="session")
def bundle_of_features(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A denoising auto-encoder of EfficientNet-Lite0's features."""
    path = tmp_path_factory.mktemp("bundles") / "features"
    overrides = ["features.backbone=efficientnet_lite0", "features.size=128"]
    config = train_configuration("dae", overrides=overrides, flags={"epochs": 1})
    train([str(photographs)], config, str(path))
    return path


@pytest.fixture(scope="session")
def scored_by(
    images: Path, bundle_28: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Outcome]:
    """A function that gives the run of an engine over the images, made once."""

    @functools.cache
    def scored(engine: str) -> Outcome:
        output = tmp_path_factory.mktemp("scored") / "run"
        return score(engine, images, bundle_28, output, ENGINES[engine]())

    return scored


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """A session of PySpark, with one thread of this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(pyspark_home()))
        builder = importlib.import_module("pyspark.sql").SparkSession.builder
        flags = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1"}
        session = builder.master("local[1]").config(map=flags).getOrCreate()
        yield session
        session.stop()
