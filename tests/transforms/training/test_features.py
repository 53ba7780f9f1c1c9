"""How maps are stored."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from ae_models.backbones.registry import open_backbone
from transforms.training.features import stored_type

_LAYER = np.random.default_rng(0).normal(0.5, 1.0, (3, 5, 5, 8)).astype(np.float32)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (_LAYER, np.float16),
        (np.maximum(_LAYER, 0), np.float16),
        (np.zeros_like(_LAYER), np.float16),
        (1e-3 * _LAYER, np.float16),
        (1e-7 * _LAYER, np.float32),
        (1e-12 * _LAYER, np.float32),
        (1e5 * _LAYER, np.float32),
        (1000 + _LAYER, np.float32),
        (np.where(np.arange(8) < 4, 1000 + _LAYER, _LAYER), np.float32),
        (np.full_like(_LAYER, 1e5), np.float32),
        (np.where(np.arange(8) < 4, 0.1, _LAYER), np.float16),
    ],
    ids=[
        *("usual", "relu", "zero", "small", "subnormal", "vanishing", "huge", "far from zero"),
        *("half of them far from zero", "huge and constant", "half of them constant"),
    ],
)
def test_half_floats_are_for_features_that_they_hold(layer: np.ndarray, expected: type) -> None:
    layer = layer.astype(np.float32)
    assert stored_type([layer]) == expected
    assert stored_type([_LAYER, layer]) == expected


def test_half_floats_hold_the_features_of_photographs() -> None:
    image = Image.fromarray(load_sample_image("china.jpg")).resize((224, 224))
    backbone = open_backbone("efficientnet_lite0", (224, 224))
    maps = backbone.maps(np.asarray(image, np.float32)[None])
    assert stored_type([np.asarray(layer) for layer in maps.values()]) == np.float16
