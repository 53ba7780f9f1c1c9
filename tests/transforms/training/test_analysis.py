"""tf.Transform's scalings of pixels: what each guarantees, on records it saw and on others."""

from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from ae_models.config.configuration import ImageConfig, PreprocessingConfig
from ae_models.training.preprocessing import Preprocessing
from transforms.records.batches import IMAGE
from transforms.records.pixels import pixels_to_arrow
from transforms.training.analysis import AnalyzePixels


def _batch(pixels: np.ndarray) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pixels_to_arrow(pixels)], [IMAGE])


def _scaling(
    folder: Path, pixels: np.ndarray, scaling: str, scale: tuple[int, int] | None = None
) -> Preprocessing:
    """The scaling that tf.Transform derives from the pixels, passed in two batches."""
    image = ImageConfig(*pixels.shape[1:], bits=8 * pixels.dtype.itemsize)
    with beam.Pipeline() as pipeline:
        _ = (
            pipeline
            | beam.Create([_batch(pixels[:7]), _batch(pixels[7:])])
            | AnalyzePixels(
                image,
                PreprocessingConfig(scaling),
                str(folder / "out"),
                str(folder / "tmp"),
                scale,
            )
        )
    return Preprocessing(folder / "out")


@pytest.mark.parametrize(("dtype", "largest"), [("uint8", 255), ("uint16", 65535)])
def test_full_range_is_the_share_of_the_largest_level(
    tmp_path: Path, generator: np.random.Generator, dtype: str, largest: int
) -> None:
    """Whatever the records contain: here, only the darkest tenth."""
    seen = generator.integers(0, largest // 10, (12, 3, 5, 2), dtype=dtype)
    scale = _scaling(tmp_path, seen, "full_range")
    levels = np.linspace(0, largest, 60).astype(dtype).reshape(2, 3, 5, 2)
    scaled = np.asarray(scale(tf.constant(levels)))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, levels / largest, rtol=2e-7)
    assert (scaled.min(), scaled.max()) == (0, 1)
    # The cells of a discretised likelihood are centred on the levels.
    np.testing.assert_array_equal(np.rint(scaled.astype(np.float64) * largest), levels)


@pytest.mark.parametrize(
    ("scaling", "dtype"),
    [
        *(("unit", "uint8"), ("standard", "uint16")),
        *(("full_range", "uint8"), ("full_range", "uint16")),
        pytest.param("unit", "uint16", marks=pytest.mark.slow),
        pytest.param("standard", "uint8", marks=pytest.mark.slow),
    ],
)
def test_levels_are_the_pixels_again(
    tmp_path: Path, generator: np.random.Generator, scaling: str, dtype: str
) -> None:
    """Also for levels outside the range seen, and for a channel that never varied."""
    largest = np.iinfo(dtype).max
    seen = generator.integers(0, largest // 3, (12, 3, 5, 3), dtype=dtype)
    seen[..., 2] = 40
    scale = _scaling(tmp_path, seen, scaling)
    pixels = generator.integers(0, largest, (4, 3, 5, 3), dtype=dtype, endpoint=True)
    levels = scale.levels(scale(pixels), dtype)
    assert levels.dtype == np.float32
    np.testing.assert_allclose(levels, pixels, atol=1e-3 * largest / 255)


def test_quantile_is_unit_between_two_levels_and_cut_far_beyond_them(
    tmp_path: Path, generator: np.random.Generator
) -> None:
    pixels = generator.integers(0, 65535, (12, 3, 5, 2), dtype=np.uint16, endpoint=True)
    scale = _scaling(tmp_path, pixels, "quantile", (5048, 9080))
    scaled = np.asarray(scale(tf.constant(pixels)))
    expected = np.clip((pixels.astype(np.float64) - 5048) / (9080 - 5048), -1, 2)
    np.testing.assert_allclose(scaled, expected, atol=1e-6)
    levels = scale.levels(scaled, "uint16")
    np.testing.assert_allclose(levels, np.clip(pixels, 1016, 13112), atol=0.01)


def test_quantile_without_its_levels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs the levels"):
        _scaling(tmp_path, np.zeros((8, 2, 2, 1), np.uint8), "quantile")
