"""The user's own networks: their maps, and what is refused."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.legacy.saving import legacy_h5_format

from ae_models.backbones.feature_maps import FeatureMaps
from ae_models.backbones.keras_network import with_stages
from ae_models.backbones.registry import open_backbone
from ae_models.config.configuration import ImageConfig
from ae_models.config.features import FeaturesConfig
from ae_models.errors import ConfigError, InputError, LatentbeamError
from tests.support.backbones import (
    KERAS_HOME,
    lambda_backbone,
    saved_backbone,
    tiny_backbone,
    tiny_network,
)

IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)


def test_a_keras_file_gives_the_maps_of_its_layers(tmp_path: Path) -> None:
    backbone = open_backbone(tiny_backbone(tmp_path), (16, 16))
    maps = backbone.maps(IMAGES)
    assert {name: tuple(m.shape) for name, m in maps.items()} == {
        "stage_2": (2, 8, 8, 4),
        "stage_3": (2, 4, 4, 6),
    }
    np.testing.assert_allclose(maps["stage_3"], tiny_network()(IMAGES), rtol=1e-6)
    few = open_backbone(tiny_backbone(tmp_path), (16, 16), ["first", "pooled"])
    pooled = np.asarray(few.maps(IMAGES)["pooled"])
    np.testing.assert_allclose(
        pooled[:, 0, 0], np.asarray(tiny_network()(IMAGES)).mean((1, 2)), rtol=1e-5
    )
    assert few.layers == ("first", "pooled")
    assert few.origin.backbone == "tiny.keras"
    assert len(few.origin.sha256) == 64


def test_a_keras_file_may_fix_its_size(tmp_path: Path) -> None:
    fixed = tiny_backbone(tmp_path, side=16)
    assert open_backbone(fixed, (16, 16)).layers == ("stage_2", "stage_3")
    with pytest.raises(
        ConfigError, match=r"accepts inputs of \(16, 16, 3\), not images of \(8, 8,"
    ):
        open_backbone(fixed, (8, 8))


def test_stages_are_the_last_maps_of_each_resolution() -> None:
    """As published: ResNet50's conv2 to conv5, MobileNetV2's before each stride."""
    resnet = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(64, 64, 3))
    stages = with_stages(resnet, [f"stage_{n}" for n in range(1, 6)]).network.output
    names = [f"conv{n}_block{m}_out" for n, m in ((2, 3), (3, 4), (4, 6), (5, 3))]
    own = with_stages(resnet, ["conv1_relu", *names]).network.output
    assert [t.name for t in stages.values()] == [t.name for t in own.values()]


def test_a_saved_model_gives_its_outputs(tmp_path: Path) -> None:
    backbone = open_backbone(saved_backbone(tmp_path / "saved"), (16, 16))
    maps = backbone.maps(IMAGES)
    assert backbone.layers == ("mean", "places")
    expected = np.asarray(tiny_network()(IMAGES))
    np.testing.assert_allclose(maps["places"], expected, rtol=1e-5)
    np.testing.assert_allclose(maps["mean"][:, 0, 0], expected.mean((1, 2)), rtol=1e-5)
    assert open_backbone(str(tmp_path / "saved"), (16, 16), ["places"]).layers == ("places",)


def _custom(folder: Path) -> str:
    path = Path(tiny_backbone(folder))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][1] |= {"module": "os", "class_name": "system"}
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return str(path)


def _no_zip(folder: Path) -> str:
    (folder / "text.keras").write_text("no network")
    return str(folder / "text.keras")


def _vectors(folder: Path) -> str:
    image = keras.Input((16, 16, 3))
    network = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(image)))
    network.save(folder / "vectors.keras")
    return str(folder / "vectors.keras")


def _reads_files(folder: Path) -> str:
    return saved_backbone(folder / "saved", lambda _, x: {"y": x + float(0) * _file_size(x)})


def _file_size(x: tf.Tensor) -> tf.Tensor:
    del x
    return tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)


def _takes_two(folder: Path) -> str:
    module, spec = tf.Module(), tf.TensorSpec((None, 8, 8, 1), tf.float32)
    serve = tf.function(lambda x: {"y": x}, input_signature=[spec])
    tf.saved_model.save(module, str(folder / "s"), signatures={"serving_default": serve})
    return str(folder / "s")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda_backbone,
            InputError,
            "contains keras.layers.Lambda, which is not a Keras layer",
        ),
        (_custom, InputError, "contains os.system"),
        (_no_zip, InputError, "is not a Keras file"),
        (_vectors, ConfigError, "has no layer that returns maps"),
        (_reads_files, InputError, "the operation ReadFile, which no bundle needs"),
        (_takes_two, ConfigError, "not pixels"),
        (str, ConfigError, "features.backbone must be one of"),
        (lambda folder: "keras:MobileNetV9", ConfigError, "did you mean 'MobileNetV"),
        (lambda folder: "keras:InceptionV3", ConfigError, "at least 75x75"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    make: Callable[[Path], str], error: type[LatentbeamError], message: str, tmp_path: Path
) -> None:
    name = make(tmp_path)
    size = (40, 40) if name.startswith("keras:") else (16, 16)
    with pytest.raises(error, match=message) as caught:
        open_backbone(name, size)
    assert "\n" not in str(caught.value)


def test_without_a_network_the_weights_of_keras_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # no server listens there
    monkeypatch.setattr(KERAS_HOME, str(tmp_path))
    with pytest.raises(
        InputError, match=r"cannot download the weights of keras:MobileNetV2.*network"
    ):
        open_backbone("keras:MobileNetV2", (96, 96))
    assert capsys.readouterr().out == ""


def test_a_network_of_keras_has_its_weights_and_its_own_scaling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the file that Keras would download already exists."""
    monkeypatch.setattr(KERAS_HOME, str(tmp_path))
    network = keras.applications.MobileNetV2(
        weights=None, include_top=False, input_shape=(96, 96, 3)
    )
    (tmp_path / "models").mkdir()
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_96_no_top.h5"
    with h5py.File(tmp_path / "models" / name, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), np.uint8)
    layers = ("block_3_expand_relu", "out_relu")
    config = FeaturesConfig("keras:MobileNetV2", layers=layers, detail="none")
    features = FeatureMaps(config, ImageConfig(96, 96, 3, 8))
    features.probe()
    own = with_stages(network, config.layers).network
    expected = own(pixels / np.float32(127.5) - 1)  # the scaling of its authors
    for found, layer in zip(features.maps(pixels), expected.values(), strict=True):
        np.testing.assert_allclose(found, layer, rtol=1e-3, atol=1e-4)
    assert features.origin.backbone == "keras:MobileNetV2"
    assert features.shape == (3, 3, 144 + 1280)
