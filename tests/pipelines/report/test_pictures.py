"""The small pictures of a report, decoded by Pillow."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from pipelines.report.pictures import heat_bar, thumbnail, tiles


def _decoded(uri: str) -> np.ndarray:
    kind, _, data = uri.partition(";base64,")
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert kind == f"data:image/{(image.format or '').lower()}"
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("shape", [(8, 8, 1), (200, 100, 3), (30, 30, 4), (9, 9, 2)])
def test_a_thumbnail_is_the_image_made_small(
    shape: tuple[int, int, int], generator: np.random.Generator
) -> None:
    low = generator.integers(0, 200)
    pixels = np.full(shape, low, np.uint8)
    pixels[: shape[0] // 2] = 250
    found = _decoded(thumbnail(pixels))
    assert max(found.shape[:2]) == min(48, max(shape[:2]))
    assert abs(found[1].mean() - 250) < 12
    assert abs(found[-2].mean() - low) < 12


def test_16_bits_are_stretched() -> None:
    pixels = np.full((20, 20, 1), 1000, np.uint16)
    pixels[:10] = 1100
    found = _decoded(thumbnail(pixels))
    assert found[:8].min() > 240
    assert found[-8:].max() < 15


def test_errors_share_one_scale() -> None:
    inputs = np.zeros((2, 6, 6, 1), np.float32)
    inputs[0, 0, 0] = 1
    reconstructions = np.zeros_like(inputs)
    reconstructions[1, 3, 3] = 0.5
    made, worst = tiles(inputs, reconstructions)
    assert worst == 1
    bar = _decoded(heat_bar())[0]

    def pixel(uri: str | None, row: int) -> np.ndarray:
        """Values on the diagonal of a small image that is enlarged 43 times."""
        assert uri is not None
        shown = _decoded(uri)
        assert shown.shape == (258, 258, 3)
        return shown[43 * row + 21, 43 * row + 21]

    np.testing.assert_array_equal(pixel(made[0].error, 0), bar[255])
    np.testing.assert_array_equal(pixel(made[1].error, 3), bar[128])
    np.testing.assert_array_equal(pixel(made[1].error, 0), bar[0])
    assert pixel(made[0].input, 0).tolist() == [255] * 3
    assert pixel(made[1].reconstruction, 3).tolist() == [128] * 3
