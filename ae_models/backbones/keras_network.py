"""Keras networks as backbones: selects the layers whose maps are useful."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras

from ae_models.backbones.backbone import Backbone, Origin, chosen_detail, chosen_layers
from ae_models.config.features import NONE
from ae_models.errors import ConfigError
from ae_models.ops.tensor import Tensor

POOLED = "pooled"
_USUAL_STAGES = 2  # the last ones, which respond to objects rather than edges
_DETAIL_SHARE = 0.2  # of the image's sides
_LEAST_STEP = 0.75  # between resolutions: padding alone shrinks maps by less


def frozen(
    network: keras.Model,
    origin: Origin,
    layers: Sequence[str],
    detail: str | None = None,
    prepared: Callable[[Tensor], Tensor] = lambda x: x,
) -> Backbone:
    """Makes a backbone of a network that returns maps by name.

    Args:
      network: maps (N, H, W, 3) to maps (N, h, w, C).
      origin: the provenance of its weights.
      layers: the names of the maps.
      detail: the name of the detail layer, or None.
      prepared: converts pixel levels, 0 to 255, to the network's input.
    """
    network.trainable = False

    def maps(x: Tensor) -> Mapping[str, Tensor]:
        return dict(network(prepared(x), training=False))

    variables = [variable.value for variable in network.variables]
    return Backbone(origin, tuple(layers), detail, maps, variables)


class Staged(NamedTuple):
    """A network that returns maps by name, the names of the chosen layers, and that of the detail
    layer."""

    network: keras.Model
    layers: tuple[str, ...]
    detail: str | None


def with_stages(
    network: keras.Model, layers: Sequence[str] | None, detail: str | None = NONE
) -> Staged:
    """Converts the network to one that returns maps by name.

    These are available: Keras' layers that return maps, by their own names; `stage_1` and so on,
    the last map of each resolution; and `pooled`, the mean of the last stage over all positions.

    Args:
      network: functional, for images (N, H, W, 3).
      layers: the requested layers; None: the last two stages.
      detail: the detail layer; None: the last stage of at least a fifth of the image's sides, if
        that is finer than the chosen layers; `none`: no detail layer.

    Raises:
      ConfigError: the network has no maps, or lacks a requested layer.
    """
    own = _maps(network)
    stages = _stages(network.name, own)
    usual = tuple(stages)[-_USUAL_STAGES:]
    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True)(stages[usual[-1]])
    maps = {**own, **stages, POOLED: pooled}
    chosen = chosen_layers(layers, tuple(maps), usual)
    fine = chosen_detail(detail, tuple(maps), _usual_detail(network, stages, maps, chosen))
    wanted = {name: output for name, output in maps.items() if name in (*chosen, fine)}
    return Staged(keras.Model(network.inputs[0], wanted), chosen, fine)


def _usual_detail(
    network: keras.Model, stages: Mapping[str, Any], maps: Mapping[str, Any], chosen: Sequence[str]
) -> str | None:
    least = _DETAIL_SHARE * network.inputs[0].shape[1]
    known = max(maps[name].shape[1] for name in chosen)
    fine = [name for name, output in stages.items() if output.shape[1] >= least]
    return fine[-1] if fine and stages[fine[-1]].shape[1] > known else None


def _maps(network: keras.Model) -> dict[str, Any]:
    """The outputs of layers that return maps, except paddings and nested networks, whose outputs
    belong to their own graph."""
    others = (
        *(keras.layers.InputLayer, keras.layers.ZeroPadding2D, keras.layers.Cropping2D),
        keras.Model,
    )
    outputs = {
        layer.name: layer.output for layer in network.layers if not isinstance(layer, others)
    }
    return {
        name: output
        for name, output in outputs.items()
        if isinstance(output, keras.KerasTensor) and len(output.shape) == 4
    }


def _stages(network: str, maps: Mapping[str, Any]) -> dict[str, Any]:
    # Maps of a single position are gates, by which attention multiplies channels.
    by_size = {output.shape[1:3]: output for output in maps.values() if output.shape[1] > 1}
    if not by_size:
        raise ConfigError(f"the network {network} has no layer that returns maps (N, h, w, C)")
    sizes = sorted(by_size, reverse=True)
    smaller = [*sizes[1:], (0, 0)]
    kept = [a for a, b in zip(sizes, smaller, strict=True) if b[0] <= _LEAST_STEP * a[0]]
    return {f"stage_{number}": by_size[size] for number, size in enumerate(kept, 1)}
