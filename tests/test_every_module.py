"""Every module can be imported, whatever the Python that this is."""

import importlib
import pkgutil

import pytest


@pytest.mark.parametrize("wing", ["ae_models", "transforms", "pipelines"])
def test_every_module_can_be_imported(wing: str) -> None:
    package = importlib.import_module(wing)
    found = [module.name for module in pkgutil.walk_packages(package.__path__, f"{wing}.")]
    assert len(found) > 20
    for name in found:
        if not name.endswith("__main__"):  # which would run
            importlib.import_module(name)
