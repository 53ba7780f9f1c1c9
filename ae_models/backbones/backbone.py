"""A frozen network and its description."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ae_models.config.features import NONE
from ae_models.config.validated import suggestion
from ae_models.errors import ConfigError
from ae_models.ops.tensor import Tensor

# Images (N, H, W, 3) float32, 0 to 255 → maps (N, h, w, C) by layer name.
Maps = Callable[[Tensor], Mapping[str, Tensor]]


@dataclasses.dataclass(frozen=True)
class Origin:
    """The provenance of a frozen network.

    Attributes:
      backbone: its name in a configuration.
      source: who publishes its weights, and under which name.
      licence: the licence of the weights, as their source states it.
      sha256: the digest of the weights' file, or of the weights themselves, in hexadecimal.
    """

    backbone: str
    source: str
    licence: str
    sha256: str


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A frozen network for images of one size.

    Attributes:
      origin: the network's provenance.
      layers: the layers whose maps it returns, from first to last. A vector for the entire image,
        if there is one, is a map of 1 x 1.
      detail: a layer of finer resolution whose map it also returns; None if there is none.
      maps: the function that computes the maps.
      variables: the variables that `maps` reads, for a SavedModel to hold.
    """

    origin: Origin
    layers: tuple[str, ...]
    detail: str | None
    maps: Maps
    variables: Sequence[Any]


def chosen_layers(
    asked: Sequence[str] | None, known: Sequence[str], usual: Sequence[str]
) -> tuple[str, ...]:
    """The requested layers in the order of the network, or the default ones.

    Raises:
      ConfigError: the network has no such layer.
    """
    for name in asked or ():
        if name not in known:
            raise ConfigError(f"features.layers: no layer {name!r}{suggestion(name, known)}")
    return tuple(name for name in known if name in (asked or usual))


def chosen_detail(asked: str | None, known: Sequence[str], usual: str | None) -> str | None:
    """The requested detail layer, or the default one; None for no detail layer.

    Raises:
      ConfigError: the network has no such layer.
    """
    if asked == NONE:
        return None
    if asked is not None and asked not in known:
        raise ConfigError(f"features.detail: no layer {asked!r}{suggestion(asked, known)}")
    return usual if asked is None else asked


def check_side(size: tuple[int, int], least: int, backbone: str) -> None:
    """Raises ConfigError if images, (height, width), are too small for the network."""
    if min(size) < least:
        raise ConfigError(
            f"{backbone} requires images of at least {least} x {least} pixels: set features.size, "
            f"or image.height and image.width. Received: {size[0]} x {size[1]}"
        )


def weights_sha256(weights: Iterable[np.ndarray]) -> str:
    """SHA-256 over the shapes, dtypes and values of arrays, in order, in hexadecimal."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(f"{weight.shape} {weight.dtype.str} ".encode())
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
