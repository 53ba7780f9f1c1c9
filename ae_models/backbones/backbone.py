"""A frozen network, and what there is to know of it."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ae_models.config.features import NONE
from ae_models.config.validated import suggestion
from ae_models.errors import ConfigError
from ae_models.ops.tensor import Tensor

# Images (N, H, W, 3) float32, 0 to 255 → maps (N, h, w, C) by the layers' names.
Maps = Callable[[Tensor], Mapping[str, Tensor]]


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a frozen network comes from.

    Attributes:
      backbone: its name, as a configuration has it.
      source: who gives its weights, and under which name.
      licence: of the weights, as their source states it.
      sha256: of the file that they were read from, or of the weights themselves, in hexadecimal.
    """

    backbone: str
    source: str
    licence: str
    sha256: str


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A frozen network for images of one size.

    Attributes:
      origin: of the network.
      layers: whose maps it gives, from the first to the last. A vector for the whole image, where
        there is one, is a map of 1 x 1.
      detail: a layer of more places, whose map it gives as well; None: there is none.
      maps: gives them.
      variables: what `maps` reads, for a SavedModel to hold.
    """

    origin: Origin
    layers: tuple[str, ...]
    detail: str | None
    maps: Maps
    variables: Sequence[Any]


def chosen_layers(
    asked: Sequence[str] | None, known: Sequence[str], usual: Sequence[str]
) -> tuple[str, ...]:
    """The layers that are asked for, in the order of the network, or the usual ones.

    Raises:
      ConfigError: the network has no such layer.
    """
    for name in asked or ():
        if name not in known:
            raise ConfigError(f"features.layers: no layer {name!r}{suggestion(name, known)}")
    return tuple(name for name in known if name in (asked or usual))


def chosen_detail(asked: str | None, known: Sequence[str], usual: str | None) -> str | None:
    """The layer of details that is asked for, or the usual one; None for none.

    Raises:
      ConfigError: the network has no such layer.
    """
    if asked == NONE:
        return None
    if asked is not None and asked not in known:
        raise ConfigError(f"features.detail: no layer {asked!r}{suggestion(asked, known)}")
    return usual if asked is None else asked


def check_side(size: tuple[int, int], least: int, backbone: str) -> None:
    """Raises ConfigError for images, (height, width), that are too small for the network."""
    if min(size) < least:
        raise ConfigError(
            f"{backbone} takes images of at least {least} x {least} pixels: set features.size, or "
            f"image.height and image.width. Received: {size[0]} x {size[1]}"
        )


def weights_sha256(weights: Iterable[np.ndarray]) -> str:
    """SHA-256 over shapes, types and values of arrays, in their order, in hexadecimal."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(f"{weight.shape} {weight.dtype.str} ".encode())
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
