"""Data and bundles that several test files share."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.train import train, train_configuration


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


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)
