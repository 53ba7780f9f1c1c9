"""Bundles in folders whose names TensorFlow treats as patterns, or cannot read."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ae_models.bundles.bundle import open_bundle
from ae_models.bundles.plain_path import plain_path
from ae_models.bundles.scorer import Scorer
from pipelines.commands.train import train, train_configuration

NAMES = ["b [2]", "b*", "what?", "back\\slash", os.fsdecode(b"caf\xe9"), "{a,b}", "grün 1"]


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_scores_wherever_it_lies(
    bundle: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    there = tmp_path / name / "bundle"
    shutil.copytree(bundle("ae"), there)
    config = open_bundle(there).config
    images = np.zeros((3, *config.image.shape), np.uint8)
    expected = Scorer(bundle("ae"), config).score(images)
    for output, values in Scorer(there, config).score(images).items():
        np.testing.assert_array_equal(values, expected[output])


def test_a_plain_path_is_itself_and_a_link_is_gone_afterwards(tmp_path: Path) -> None:
    with plain_path(tmp_path) as plain:
        assert plain == tmp_path
    (tmp_path / "a[1]").mkdir()
    with plain_path(tmp_path / "a[1]") as plain:
        assert plain.samefile(tmp_path / "a[1]")
        assert "[" not in str(plain)
    assert not plain.is_symlink()


@pytest.mark.slow
def test_training_into_such_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "of *").mkdir()
    monkeypatch.chdir(tmp_path / "of *")
    config = train_configuration("ae", overrides=["model.latent_dim=2"], flags={"epochs": 1})
    for overwrite in (False, True):
        manifest = train(["builtin:digits"], config, "b [2]", overwrite=overwrite)
        assert open_bundle("b [2]").fingerprint == manifest["fingerprint"]
    assert os.listdir() == ["b [2]"]
