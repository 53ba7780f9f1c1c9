"""Checks and loads a bundle's `model.keras`."""

from pathlib import Path
from typing import Any

from ae_models.bundles.keras_archive import read_description
from ae_models.errors import BundleError
from ae_models.models.registry import MODELS

_MOST_CONFIG_BYTES = 1 << 20
# Module and class of everything that a bundle's model is built from: its networks follow from our
# configuration, and only the optimiser is described separately.
_MODELS = {
    "autoencoder": "Autoencoder",
    "denoising": "DenoisingAutoencoder",
    "variational": "VariationalAutoencoder",
}
# Bundles of version 0.1 use the modules' names at that time.
_OURS = {
    (f"{package}.{module}", name)
    for package in ("ae_models.models", "ae_models")
    for module, name in _MODELS.items()
}
_OF_KERAS = {
    ("keras.optimizers", "Adam"),
    ("keras.optimizers", "Muon"),
    ("keras.optimizers", "LossScaleOptimizer"),
    ("keras.optimizers.schedules", "CosineDecay"),
}
_PACKAGE = "latentbeam"  # in which our classes are registered


def check_keras_file(path: Path, name: str) -> None:
    """Reads what Keras would build from `model.keras`, without building anything.

    Args:
      path: the file.
      name: the file's name in error messages.

    Raises:
      BundleError: it is not a Keras file, or names a class or a function that no bundle has, such
        as a Lambda layer or a class of another module.
    """
    try:
        config = read_description(path, name, _MOST_CONFIG_BYTES)
    except ValueError as error:
        raise BundleError(str(error)) from error
    if not isinstance(config, dict) or _named(config) not in _OURS:
        raise BundleError(f"{name}: config.json does not describe a bundle's model")
    _check_classes(config, name)


def load_keras_model(path: Path) -> Any:
    """Checks and loads the model in a bundle's `model.keras`.

    Raises:
      BundleError: as `check_keras_file`.
    """
    import keras  # noqa: PLC0415 - the check alone does not need it

    check_keras_file(path, str(path))
    tuple(MODELS.values())  # importing them registers their names with Keras
    return keras.models.load_model(path, safe_mode=True)


def _check_classes(value: Any, name: str) -> None:
    """Every object in Keras' description of a model is a mapping with `class_name`."""
    if isinstance(value, dict):
        if "class_name" in value or "module" in value or "registered_name" in value:
            known = _named(value)
            ours = f"{_PACKAGE}>{value.get('class_name')}"
            registered = value.get("registered_name")
            if known not in _OURS | _OF_KERAS or registered != (ours if known in _OURS else None):
                raise BundleError(
                    f"{name}: {value.get('module')!r}, {value.get('class_name')!r}, "
                    f"{registered!r} is not a class that a bundle's model is built from"
                )
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        _check_classes(item, name)


def _named(value: dict[str, Any]) -> tuple[str, str]:
    return str(value.get("module")), str(value.get("class_name"))
