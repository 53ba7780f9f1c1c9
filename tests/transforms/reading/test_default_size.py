"""The default size: what it guarantees for any sizes, and a few cases that can be worked out."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.reading.default_size import aspect_ratio, default_size, median_size

_SIDES = st.integers(1, 20_000)
_SIZES = st.lists(st.tuples(_SIDES, _SIDES), min_size=1, max_size=20)


@given(_SIZES)
def test_it_has_few_pixels_and_is_within_the_median_image(sizes: list[tuple[int, int]]) -> None:
    height, width = default_size(sizes)
    heights, widths = zip(*sizes, strict=True)
    assert 1 <= height <= statistics.median(heights)
    assert 1 <= width <= statistics.median(widths)
    assert height * width <= 64 * 64


@given(_SIZES)
def test_sides_that_are_scaled_down_are_multiples_of_4(sizes: list[tuple[int, int]]) -> None:
    height, width = default_size(sizes)
    median, ratio = median_size(sizes), aspect_ratio(sizes)
    fitted = min(median[0], median[1] * ratio) * min(median[1], median[0] / ratio)
    if fitted > 64 * 64 and min(height, width) > 4:
        assert height % 4 == width % 4 == 0


@given(_SIZES)
def test_its_aspect_ratio_is_the_median_but_for_rounding(sizes: list[tuple[int, int]]) -> None:
    """Rounding to a multiple of 4 moves a side by less than 4, in units of the side itself."""
    height, width = default_size(sizes)
    logs = [math.log(h / w) for h, w in sizes]
    if min(height, width) >= 8:
        # `np.median` takes the mean of two middle values.
        moved = abs(math.log(height / width) - float(np.median(logs)))
        assert moved <= 4 / height + 4 / width


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(1, 9))
def test_images_of_one_size(height: int, width: int, count: int) -> None:
    found = default_size([(height, width)] * count)
    if height * width <= 64 * 64:
        assert found == (height, width)
    elif 8 * min(height, width) >= 64 and max(height, width) <= 16 * min(height, width):
        assert 50 <= math.sqrt(found[0] * found[1]) <= 64


@given(_SIZES, st.randoms())
def test_the_order_of_images_is_no_matter(sizes: list[tuple[int, int]], random: object) -> None:
    shuffled = list(sizes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert default_size(shuffled) == default_size(sizes)


@given(_SIZES)
def test_turned_images_have_the_same_size_turned(sizes: list[tuple[int, int]]) -> None:
    height, width = default_size(sizes)
    turned = default_size([(w, h) for h, w in sizes])
    assert turned[0] * turned[1] == height * width or {*turned} == {height, width}


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(28, 28)], (28, 28)),
        ([(28, 28)] * 3 + [(400, 30)], (28, 28)),
        ([(80, 50)], (80, 50)),  # 4,000 pixels
        ([(1024, 1024)], (64, 64)),
        ([(1130, 460)], (100, 40)),
        ([(460, 1130)], (40, 100)),
        ([(480, 640)], (56, 72)),
        ([(400, 300), (300, 400)], (64, 64)),  # as many portraits as landscapes
        ([(8, 2048)], (4, 1024)),
        ([(2, 100_000)], (1, 4096)),
        ([(1, 1)], (1, 1)),
    ],
)
def test_known_sizes(sizes: list[tuple[int, int]], expected: tuple[int, int]) -> None:
    assert default_size(sizes) == expected
