"""What an import may bring with it."""

import functools
import subprocess
import sys

import pytest


@functools.cache
def _loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_models_know_no_beam() -> None:
    loaded = _loaded_after(
        "import ae_models.bundles.scorer, ae_models.training.fit, ae_models.models.registry"
    )
    assert "ae_models.models.variational" in loaded
    assert "apache_beam" not in loaded


@pytest.mark.parametrize("heavy", ["keras", "tensorflow", "apache_beam", "numpy", "matplotlib"])
def test_help_needs_no_heavy_package(heavy: str) -> None:
    assert heavy not in _loaded_after("import pipelines.cli")
