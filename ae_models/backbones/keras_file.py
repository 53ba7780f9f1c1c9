"""A user's `.keras` file, built only from Keras' own layers."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras

from ae_models.backbones.backbone import Backbone, Origin, check_side
from ae_models.backbones.keras_network import frozen, with_stages
from ae_models.bundles.keras_archive import read_description
from ae_models.errors import ConfigError, InputError

SUFFIX = ".keras"
_LICENCE = "the user's"
_MOST_CONFIG_BYTES = 16 << 20
_ROOMS = re.compile(
    r"keras|keras\.(layers|models|initializers|regularizers|constraints|activations|dtype_policies)"
    r"|keras\.src\.(models|ops)\.\w+"
)
# Values that Keras describes in the same way as objects.
_VALUES = {"__keras_tensor__", "__tuple__", "__slice__", "__ellipsis__", "__numpy__", "slice"}
# These run code that a file contains, or read other files.
_REFUSED = {
    *("Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"),
    *("StringLookup", "IntegerLookup", "TextVectorization"),
}


def open_backbone(
    name: str, size: tuple[int, int], layers: Sequence[str] | None, detail: str | None
) -> Backbone:
    """The network in a `.keras` file, for images of `size`, (height, width). It receives pixel
    levels from 0 to 255 in three channels. Its layers are those that `with_stages` finds.

    Raises:
      ConfigError: it accepts other images, or has no such layer.
      InputError: it cannot be read, or contains anything but Keras layers.
    """
    path = Path(name)
    check_file(path)
    check_side(size, 1, name)
    try:
        network = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises anything for a meaningless file
        reason = " ".join(str(error).split())
        raise InputError(f"cannot load {path}: {reason}") from error
    network = _of_size(network, size, name)
    origin = Origin(path.name, "a file of the user's", _LICENCE, _sha256(path))
    staged = with_stages(network, layers, detail)
    return frozen(staged.network, origin, staged.layers, staged.detail)


def check_file(path: Path) -> None:
    """Reads what Keras would build from a `.keras` file, without building anything.

    Raises:
      InputError: it is not a Keras file, or names anything but Keras layers.
    """
    try:
        config = read_description(path, str(path), _MOST_CONFIG_BYTES)
    except ValueError as error:
        raise InputError(str(error)) from error
    for described in _objects(config):
        module, kind = described.get("module"), described.get("class_name")
        is_value = module in (None, "builtins") and kind in _VALUES
        is_known = kind not in _REFUSED and _ROOMS.fullmatch(str(module))
        if not (is_value or is_known) or described.get("registered_name") not in (None, kind):
            raise InputError(
                f"{path} contains {module}.{kind}, which is not a Keras layer that is safe to build"
            )


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in Keras' description of a model is a mapping with `class_name`."""
    if isinstance(value, dict):
        if "class_name" in value or "registered_name" in value:
            yield value
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from _objects(item)


def _of_size(network: Any, size: tuple[int, int], name: str) -> keras.Model:
    """The network for images of one size, if it leaves the size open."""
    if not isinstance(network, keras.Model) or len(network.inputs) != 1:
        raise ConfigError(f"{name} must contain a network with one input")
    found = tuple(network.inputs[0].shape[1:])
    wanted = (*size, 3)
    if len(found) != 3 or any(a not in (None, b) for a, b in zip(found, wanted, strict=True)):
        raise ConfigError(
            f"{name} accepts inputs of {found}, not images of {wanted}: set image.height and "
            "image.width"
        )
    if None not in found:
        return network
    config = network.get_config()
    config["layers"][0]["config"]["batch_shape"] = (None, *wanted)
    same = type(network).from_config(config)
    same.set_weights(network.get_weights())
    return same


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
