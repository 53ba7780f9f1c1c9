"""Data and bundles that several test files share."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from pipelines.commands.score import score
from pipelines.commands.train import train, train_configuration
from tests.support.anomalous import Anomalous, make_tiled, make_whole, make_without_map
from tests.support.made_once import made_once


def pytest_collection_finish() -> None:
    """What was imported stays, TensorFlow, Keras and Beam: no collection looks at it again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # at the end, extensions tell of objects that are left


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that gives the path of a small bundle of a kind, trained on digits once."""

    def get(kind: str) -> Path:
        def make(path: Path) -> None:
            overrides = ["model.network=dense", "model.latent_dim=6", "scoring.fpr=0.05"]
            if kind == "vae":  # as few decodings of a record as there may be
                overrides.append("model.noise_samples=2")
            config = train_configuration(kind, overrides=overrides, flags={"epochs": 3})
            train(["builtin:digits"], config, str(path), where=["label!=0"])

        return made_once(tmp_path_factory, f"bundle-{kind}", make)

    return get


@pytest.fixture(scope="session")
def digits_run(
    bundle: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """A function that gives the folder of a finished run over all digits by the bundle of a kind,
    made once in each of the two schemas. What a test changes, it copies first."""

    def get(kind: str, portable_schema: bool = False) -> Path:
        def make(folder: Path) -> None:
            model = str(bundle(kind))
            score(["builtin:digits"], model, str(folder), portable_schema=portable_schema)

        schema = "portable" if portable_schema else "own"
        return made_once(tmp_path_factory, f"run-{kind}-{schema}", make)

    return get


@pytest.fixture(scope="session")
def anomalous(
    bundle: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Anomalous]:
    """A function that gives images with what is anomalous in them, the bundle that looks at them,
    and the finished run over them: of `whole` images, or of `tiles`."""

    def get(kind: str) -> Anomalous:
        if kind == "whole":
            images, model = made_once(tmp_path_factory, "anomalous", make_whole), bundle("ae")
        else:
            folder = made_once(tmp_path_factory, "anomalous-tiles", make_tiled)
            images, model = folder / "images", folder / "model"

        def make(run: Path) -> None:
            score([str(images)], str(model), str(run))

        return Anomalous(images, model, made_once(tmp_path_factory, f"run-anomalous-{kind}", make))

    return get


@pytest.fixture(scope="session")
def without_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle without regions, trained on digits."""
    return made_once(tmp_path_factory, "bundle-without-map", make_without_map)


@pytest.fixture(scope="session", params=[False, True], ids=["own schema", "portable"])
def scored_digits(request: pytest.FixtureRequest, digits_run: Callable[..., Path]) -> Path:
    """The folder of a finished run over all digits by a VAE, the kind with the most columns, in
    each of the two schemas."""
    return digits_run("vae", portable_schema=request.param)


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """40 digits as PNG files, in a folder for each, and files that are no image or damaged."""
    folder = tmp_path / "images"
    digits = load_digits()
    for index in range(40):
        path = folder / str(digits.target[index]) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[index] * 15).astype(np.uint8)).save(path)
    (folder / "readme.txt").write_text("passed over")
    (folder / "bad").mkdir()
    (folder / "bad" / "text.png").write_text("no image")
    (folder / "bad" / "zero.png").write_bytes(b"")
    (folder / "bad" / "cut.png").write_bytes((folder / "0" / "0.png").read_bytes()[:-30])
    Image.new("RGB", (8, 8)).save(folder / "bad" / "colour.png")
    return folder


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)
