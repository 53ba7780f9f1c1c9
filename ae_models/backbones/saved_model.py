"""A user's SavedModel, whose graph may only compute with tensors."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from ae_models.backbones.backbone import Backbone, Origin, check_side, chosen_detail, chosen_layers
from ae_models.bundles.graph_check import check_graph
from ae_models.bundles.plain_path import plain_path
from ae_models.errors import BundleError, ConfigError, InputError
from ae_models.ops.tensor import Tensor

GRAPH = "saved_model.pb"
_LICENCE = "the user's"
_SIGNATURES = ("serving_default", "serve")


def open_backbone(
    name: str, size: tuple[int, int], layers: Sequence[str] | None, detail: str | None
) -> Backbone:
    """The SavedModel in a folder, for images of `size`, (height, width). Its signature
    `serving_default` accepts pixel levels from 0 to 255, (N, H, W, 3) float32. Its layers are its
    outputs (N, h, w, C), and its outputs (N, C) as maps of 1 x 1. By default it uses all of them,
    and no detail layer.

    Raises:
      ConfigError: it accepts a different input, or has no such output.
      InputError: it cannot be read, or its graph does more than compute with tensors.
    """
    path = Path(name)
    try:
        check_graph(path / GRAPH, str(path / GRAPH))
    except BundleError as error:
        raise InputError(
            f"features.backbone: {error}; a SavedModel may only compute with tensors: save a Keras "
            "network as a .keras file instead"
        ) from error
    check_side(size, 1, name)
    model, function = _loaded(path)
    known = _outputs(function, size, name)
    chosen, fine = chosen_layers(layers, known, known), chosen_detail(detail, known, None)
    wanted = [name for name in known if name in (*chosen, fine)]
    (argument,) = function.structured_input_signature[1]

    def maps(x: Tensor) -> Mapping[str, Tensor]:
        outputs = function(**{argument: tf.convert_to_tensor(x)})
        return {name: _map(outputs[name]) for name in wanted}

    origin = Origin(path.name, "a SavedModel of the user's", _LICENCE, _sha256(path))
    # Keep the model itself: its functions are valid only while it is alive, as are the variables.
    return Backbone(origin, chosen, fine, maps, [model])


def _loaded(path: Path) -> tuple[Any, Any]:
    try:
        with plain_path(path) as plain:
            model = tf.saved_model.load(str(plain))
        return model, next(model.signatures[s] for s in _SIGNATURES if s in model.signatures)
    except StopIteration:
        raise InputError(f"{path} has no signature serving_default") from None
    except Exception as error:  # TensorFlow raises anything for a meaningless graph
        raise InputError(f"cannot load {path}: {' '.join(str(error).split())}") from error


def _outputs(function: Any, size: tuple[int, int], name: str) -> tuple[str, ...]:
    """The names of the outputs for such images.

    Raises:
      ConfigError: it does not accept the images, or returns neither maps nor vectors.
    """
    image = tf.TensorSpec((None, *size, 3), tf.float32)
    arguments = function.structured_input_signature[1]
    if len(arguments) != 1 or not next(iter(arguments.values())).is_compatible_with(image):
        raise ConfigError(
            f"{name} accepts {', '.join(map(str, arguments.values()))}, not pixels {image}"
        )
    found = function.structured_outputs
    names = tuple(sorted(key for key, spec in found.items() if spec.shape.rank in (2, 4)))
    if not names:
        raise ConfigError(f"{name} returns neither maps (N, h, w, C) nor vectors (N, C)")
    return names


def _map(output: Tensor) -> Tensor:
    return output if output.shape.rank == 4 else output[:, None, None, :]


def _sha256(path: Path) -> str:
    """The digest of the graph and the variables."""
    digest = hashlib.sha256()
    for file in sorted([path / GRAPH, *(path / "variables").glob("*")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()
