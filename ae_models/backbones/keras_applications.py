"""The networks of `keras.applications`, trained on ImageNet, with the weights Keras downloads."""

import contextlib
import sys
import types
from collections.abc import Sequence
from typing import Any

import keras

from ae_models.backbones.backbone import Backbone, Origin, check_side, weights_sha256
from ae_models.backbones.keras_network import frozen, with_stages
from ae_models.config.validated import suggestion
from ae_models.errors import ConfigError, InputError

PREFIX = "keras:"
_LEAST_SIDE = 32  # NASNet and Inception need more: Keras reports that
_LICENCE = "as Keras states it for each network (https://keras.io/api/applications/)"


def open_backbone(
    name: str, size: tuple[int, int], layers: Sequence[str] | None, detail: str | None
) -> Backbone:
    """`keras:NAME` for images of `size`, (height, width). By default, its layers are the last two
    stages that `with_stages` finds.

    Raises:
      ConfigError: there is no such network or layer, or images are too small for it.
      InputError: its weights are not present and cannot be downloaded.
    """
    check_side(size, _LEAST_SIDE, name)
    network = name.removeprefix(PREFIX)
    built, module = _with_weights(network, size)
    prepared = module.preprocess_input
    origin = Origin(
        name,
        f"keras.applications {keras.__version__}, {network}, ImageNet",
        _LICENCE,
        weights_sha256(built.get_weights()),
    )
    staged = with_stages(built, layers, detail)
    return frozen(staged.network, origin, staged.layers, staged.detail, prepared)


def _with_weights(name: str, size: tuple[int, int]) -> tuple[keras.Model, types.ModuleType]:
    known = _known()
    if name not in known:
        raise ConfigError(f"keras.applications has no {name!r}{suggestion(name, known)}")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where Keras reports a download
            built = getattr(keras.applications, name)(
                include_top=False, weights="imagenet", input_shape=(*size, 3)
            )
    except ValueError as error:  # an image that is too small, reported as `input_shape`
        reason = " ".join(str(error).split())
        raise ConfigError(f"{PREFIX}{name} does not accept images of {size}: {reason}") from error
    except Exception as error:  # a download can raise anything
        reason = " ".join(str(error).split())
        raise InputError(
            f"cannot download the weights of {PREFIX}{name}: {reason}; without a network, copy "
            "them from ~/.keras/models on another machine, or choose another features.backbone"
        ) from error
    return built, known[name]


def _known() -> dict[str, types.ModuleType]:
    """The networks, each with the module that prepares its input."""
    public: dict[str, Any] = vars(keras.applications)
    networks = {name: build for name, build in public.items() if name[0].isupper()}
    modules = {name: build.__module__.rpartition(".")[2] for name, build in networks.items()}
    return {name: public[module] for name, module in modules.items() if module in public}
