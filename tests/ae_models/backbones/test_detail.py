"""The detail layer: which layer it is, and that nothing else depends on it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from ae_models.backbones.backbone import chosen_detail
from ae_models.backbones.feature_maps import FeatureMaps
from ae_models.backbones.keras_network import with_stages
from ae_models.backbones.registry import open_backbone
from ae_models.config.configuration import ImageConfig, configuration_from_mapping
from ae_models.config.features import FeaturesConfig
from ae_models.errors import ConfigError
from tests.support.backbones import saved_backbone, tiny_backbone

_SIDE = 32
_IMAGE = ImageConfig(_SIDE, _SIDE, 3, 8)
_PIXELS = np.random.default_rng(0).integers(0, 256, (2, _SIDE, _SIDE, 3), np.uint8)


def _network(side: int | None = None, halvings: int = 4) -> keras.Model:
    """`half_1` at half the resolution, and so on, each with 4 more channels."""
    image = keras.Input((side, side, 3))
    x: Any = image
    for number in range(1, halvings + 1):
        x = keras.layers.Conv2D(
            4 * number, 3, strides=2, padding="same", activation="relu", name=f"half_{number}"
        )(x)
    return keras.Model(image, x, name="deep")


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a network with four stages, from a half to a sixteenth of the sides."""
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("deep") / "deep.keras"
    _network().save(path)
    return str(path)


def _maps(backbone: str, **options: Any) -> FeatureMaps:
    return FeatureMaps(FeaturesConfig(backbone, **options), _IMAGE)


def test_a_network_of_keras_has_a_layer_of_details_unless_it_is_to_have_none(deep: str) -> None:
    usual = _maps(deep)
    assert usual.has_detail
    assert usual.fine_shapes[-1] == (8, 8, 8)  # a quarter of the sides
    expected = open_backbone(deep, (_SIDE, _SIDE), ["half_2"]).maps(_PIXELS.astype(np.float32))
    found = usual.maps(_PIXELS)
    np.testing.assert_allclose(found[-1], expected["half_2"], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(usual.fine(found)[-1], found[-1])
    none = _maps(deep, detail="none")
    assert not none.has_detail
    assert len(none.maps(_PIXELS)) == len(found) - 1
    assert none.fine_shapes == usual.fine_shapes[:-1]


@pytest.mark.parametrize(
    ("halvings", "layers", "expected"),
    [
        (4, None, "stage_2"),
        (4, ["stage_4"], "stage_2"),
        (4, ["stage_3", "stage_4", "pooled"], "stage_2"),
        (4, ["stage_2", "stage_4"], None),  # it is already among the chosen layers
        (2, None, None),
        (1, None, None),
    ],
)
def test_the_usual_layer_of_details_is_the_last_stage_of_a_fifth_of_the_sides(
    halvings: int, layers: list[str] | None, expected: str | None
) -> None:
    staged = with_stages(_network(_SIDE, halvings), layers, None)
    assert staged.detail == expected
    assert {*staged.network.output} == {*staged.layers, *([expected] if expected else [])}


@pytest.mark.parametrize(("stride", "expected"), [(5, "stage_1"), (6, None)])
def test_a_fifth_of_the_sides_is_fine_enough_and_a_sixth_is_not(
    stride: int, expected: str | None
) -> None:
    image = keras.Input((60, 60, 3))
    x: Any = keras.layers.Conv2D(2, stride, strides=stride)(image)
    for _ in range(2):
        x = keras.layers.Conv2D(2, 3, strides=2, padding="same")(x)
    assert with_stages(keras.Model(image, x), None, None).detail == expected


@pytest.mark.parametrize("name", ["half_1", "stage_1", "half_3"])
def test_a_layer_that_is_named_is_the_one_of_details(deep: str, name: str) -> None:
    features = _maps(deep, detail=name)
    (alone,) = _maps(deep, layers=(name,), detail="none").maps(_PIXELS)
    assert features.has_detail
    assert features.fine_shapes[-1] == tuple(alone.shape[1:])
    np.testing.assert_allclose(features.maps(_PIXELS)[-1], alone, rtol=1e-5, atol=1e-5)
    backbone = open_backbone(deep, (_SIDE, _SIDE), None, name)
    assert (backbone.layers, backbone.detail) == (("stage_3", "stage_4"), name)


def test_a_layer_may_be_chosen_and_of_details_too(deep: str) -> None:
    features = _maps(deep, layers=("half_2", "half_4"), detail="half_2")
    first, _, last = features.maps(_PIXELS)
    np.testing.assert_array_equal(first, last)
    assert features.widths == (8, 16)
    assert features.fine_shapes == [(8, 8, 8), (8, 8, 8)]


def test_without_being_asked_for_a_backbone_gives_none(deep: str) -> None:
    assert open_backbone(deep, (_SIDE, _SIDE)).detail is None


@pytest.mark.parametrize(
    "options", [{}, {"layers": ("half_3",)}, {"layers": ("half_4", "pooled")}, {"pool": 3}]
)
def test_the_grid_and_what_lies_on_it_do_not_change_with_it(
    deep: str, options: Mapping[str, Any]
) -> None:
    plain, with_detail, named = (_maps(deep, detail=d, **options) for d in ("none", None, "half_1"))
    expected = np.asarray(plain(_PIXELS))
    for features in (with_detail, named):
        assert features.has_detail
        assert (features.shape, features.widths) == (plain.shape, plain.widths)
        assert features.fine_shapes[:-1] == plain.fine_shapes
        np.testing.assert_allclose(features(_PIXELS), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(features.coarse(expected), plain.coarse(expected))
        for one, other in zip(features.layers(expected), plain.layers(expected), strict=True):
            np.testing.assert_array_equal(one, other)
    assert len(with_detail.probe()) == len(plain.probe()) + 1


def test_an_unknown_layer_of_details_is_named(deep: str, tmp_path: Path) -> None:
    saved = saved_backbone(tmp_path / "saved")
    for backbone, asked, meant in (
        (deep, "half_9", "half_"),
        (saved, "place", "places"),
        ("efficientnet_lite0", "stage_9", "stage_"),
    ):
        message = rf"^features.detail: no layer '{asked}'; did you mean '{meant}"
        with pytest.raises(ConfigError, match=message) as caught:
            _maps(backbone, detail=asked)
        assert "\n" not in str(caught.value)


def test_none_wins_over_a_layer_of_that_name() -> None:
    assert chosen_detail("none", ("none", "other"), "other") is None
    assert chosen_detail(None, ("none", "other"), "other") == "other"
    assert chosen_detail(None, ("none", "other"), None) is None
    assert chosen_detail("other", ("none", "other"), None) == "other"


def test_a_saved_model_has_one_where_it_is_named(tmp_path: Path) -> None:
    saved = saved_backbone(tmp_path / "saved")
    assert open_backbone(saved, (_SIDE, _SIDE), None, None).detail is None
    assert not _maps(saved).has_detail
    named = _maps(saved, layers=("mean",), detail="places")
    assert named.has_detail
    assert (named.shape, named.fine_shapes) == ((1, 1, 6), [(1, 1, 6), (8, 8, 6)])


def test_a_network_of_two_stages_has_none_beside_those_that_are_chosen(tmp_path: Path) -> None:
    tiny = tiny_backbone(tmp_path)
    assert not _maps(tiny).has_detail
    assert _maps(tiny, layers=("stage_3",), detail="first").fine_shapes[-1] == (16, 16, 4)


def test_the_second_stage_of_efficientnet_lite0_is_usual() -> None:
    backbone = open_backbone("efficientnet_lite0", (64, 96), None, None)
    assert backbone.detail == "stage_2"
    assert backbone.layers == ("stage_4", "stage_5", "stage_6", "stage_7")
    maps = backbone.maps(np.zeros((2, 64, 96, 3), np.float32))
    assert tuple(maps["stage_2"].shape) == (2, 16, 24, 24)
    assert {*maps} == {"stage_2", *backbone.layers}
    assert open_backbone("efficientnet_lite0", (64, 96), None, "stage_1").detail == "stage_1"
    none = open_backbone("efficientnet_lite0", (64, 96), None, "none")
    assert (none.detail, {*none.maps(np.zeros((1, 64, 96, 3), np.float32))}) == (
        None,
        {*backbone.layers},
    )


def test_a_configuration_takes_no_empty_name() -> None:
    with pytest.raises(ConfigError, match=r"features.detail must be null, none, or .*Received: ''"):
        configuration_from_mapping({"model": {"kind": "ae"}, "features": {"detail": ""}})


@pytest.mark.parametrize("layers", [["half_2"], ["half_1"], ["stage_1"], ["half_2", "half_4"]])
def test_the_usual_detail_layer_has_more_places_than_the_chosen_ones(layers: list[str]) -> None:
    x = image = keras.Input((32, 32, 3))
    for n in range(1, 5):
        x = keras.layers.Conv2D(4 * n, 3, strides=2, padding="same", name=f"half_{n}")(x)
    assert with_stages(keras.Model(image, x), layers, None).detail is None
