"""Data and bundles that several test files share."""

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


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that gives the path of a small bundle of a kind, trained on digits once."""
    folder = tmp_path_factory.mktemp("bundles")

    def get(kind: str) -> Path:
        path = folder / kind
        if not path.exists():
            overrides = ["model.network=dense", "model.latent_dim=6", "scoring.fpr=0.05"]
            config = train_configuration(kind, overrides=overrides, flags={"epochs": 3})
            train(["builtin:digits"], config, str(path), where=["label!=0"])
        return path

    return get


@pytest.fixture(scope="session", params=[False, True], ids=["own schema", "portable"])
def scored_digits(
    request: pytest.FixtureRequest,
    bundle: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folder of a finished run over all digits by a VAE, the kind with the most columns, in
    each of the two schemas."""
    folder = tmp_path_factory.mktemp("scored") / "run"
    score(["builtin:digits"], str(bundle("vae")), str(folder), portable_schema=request.param)
    return folder


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
