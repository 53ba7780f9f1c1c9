"""The levels of the training records, against NumPy over all values at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_models.training.image_store import Part
from ae_models.training.levels import LevelCounts, Levels


def _levels(images: np.ndarray, rows: int = 7) -> Levels:
    """Counts levels in parts, with parts of other splits in between."""
    counts = LevelCounts(str(images.dtype))
    for start in range(0, len(images), rows):
        own = images[start : start + rows]
        ids = [f"r{start + number:03}" for number in range(len(own))]
        counts(Part("train", np.arange(start, start + len(own)), ids, own))
        counts(Part("calibration", np.arange(1), ["x"], np.full_like(images[:1], 3)))
    return counts.levels()


def _hot(dtype: str = "uint16") -> np.ndarray:
    """12-bit images, one of which has one pixel at the maximum."""
    images = np.random.default_rng(0).integers(48, 4081, (60, 24, 24, 1)).astype(dtype)
    images[17, 3, 3] = np.iinfo(dtype).max
    return images


@settings(deadline=None, max_examples=50)
@given(count=st.integers(1, 40), seed=st.integers(0, 99), dtype=st.sampled_from(["u1", "u2"]))
def test_all_but_one_value_in_ten_thousand_lie_between(count: int, seed: int, dtype: str) -> None:
    generator = np.random.default_rng(seed)
    images = (generator.gamma(2, 20, (count, 30, 40, 1)) % 256).astype(dtype)
    found = _levels(images)
    assert (found.least, found.greatest) == (images.min(), images.max())
    outside = int(images.size * 1e-4 / 2)
    ascending = np.sort(images, axis=None)
    assert (found.low, found.high) == (ascending[outside], ascending[-1 - outside])
    assert np.mean((images < found.low) | (images > found.high)) <= 1e-4


@pytest.mark.parametrize("rows", [1, 7, 60])
def test_one_hot_pixel_that_sets_the_scale_is_told_with_its_record(rows: int) -> None:
    found = _levels(_hot(), rows)
    assert found.greatest == 65535
    assert found.high <= 4080
    assert found.extreme == "r017"
    advice = found.advice()
    assert advice is not None
    assert "\n" not in advice
    assert "r017 has the value 65535" in advice
    assert "preprocessing.scaling=quantile" in advice


def test_dead_pixels_are_told_too() -> None:
    images = (60_000 + _hot() % 4000).astype("uint16")
    images[17] = 62_000
    images[5, 1, 1] = 0
    found = _levels(images)
    assert found.extreme == "r005"
    assert "r005 has the value 0" in str(found.advice())


@pytest.mark.parametrize("clipped", [0, 4080])
def test_images_without_such_pixels_are_not_warned_of(clipped: int) -> None:
    images = _hot()
    images[17, 3, 3] = clipped
    assert _levels(images).advice() is None


def test_where_nearly_all_are_alike_the_others_set_the_scale() -> None:
    images = np.zeros((30, 40, 40, 1), "uint8")
    images[3, 3, 3] = 200
    found = _levels(images)
    assert (found.low, found.high, found.scale) == (0, 0, (0, 200))
    assert found.advice() is None


def test_of_nothing_there_are_no_levels() -> None:
    with pytest.raises(ValueError, match="no value"):
        LevelCounts("uint8").levels()
