"""What an import may bring with it."""

import functools
import os
import subprocess
import sys

import pytest

FRAMEWORKS = {"apache_beam", "keras", "scipy", "sklearn", "tensorflow", "tfx_bsl"}


@functools.cache
def _loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize("wing", ["ae_models", "transforms", "pipelines.commands.score"])
def test_onednn_is_chosen_before_tensorflow_is_imported(wing: str) -> None:
    code = f"""
import os
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            print(os.environ["TF_ENABLE_ONEDNN_OPTS"], flush=True)
            os._exit(0)

sys.meta_path.insert(0, Finder())
import {wing}
import tensorflow
"""
    unset = {key: value for key, value in os.environ.items() if key != "TF_ENABLE_ONEDNN_OPTS"}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env=unset, capture_output=True, text=True, check=True)
    assert run.stdout == "1\n"


@pytest.mark.slow
def test_models_know_no_beam() -> None:
    loaded = _loaded_after(
        "import ae_models.bundles.export, ae_models.bundles.saved_model, ae_models.training.fit\n"
        "from ae_models.models.registry import MODELS\nlist(MODELS.values())"
    )
    assert "ae_models.models.variational" in loaded
    assert "apache_beam" not in loaded


@pytest.mark.parametrize(
    "module",
    [
        "ae_models",
        "ae_models.config.configuration",
        "ae_models.bundles.bundle",
        "ae_models.bundles.scorer",
        "ae_models.models.registry",
        "ae_models.scores",
        "ae_models.latents.clustering",
    ],
)
def test_a_configuration_and_a_bundle_need_no_framework(module: str) -> None:
    loaded = _loaded_after(f"import {module}")
    assert loaded.isdisjoint(FRAMEWORKS)


@pytest.mark.parametrize("heavy", ["keras", "tensorflow", "apache_beam", "numpy", "matplotlib"])
def test_help_needs_no_heavy_package(heavy: str) -> None:
    assert heavy not in _loaded_after("import pipelines.cli")
