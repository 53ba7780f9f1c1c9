"""A picture of inputs, reconstructions and errors."""

from collections.abc import Sequence

import numpy as np

from pipelines.drawing.png import write_png
from pipelines.drawing.sheet import Sheet, Strip, shades_of
from transforms.maps.overlay import heat_over


def reconstruction_grid(
    path: str,
    inputs: np.ndarray,
    reconstructions: np.ndarray,
    *,
    titles: Sequence[str],
    heading: str,
    unit: str = "scaled value",
) -> None:
    """Writes a PNG with a column per record: input, reconstruction, and absolute difference.

    Args:
      path: the file to write.
      inputs: (N, H, W, C) images.
      reconstructions: the same shape.
      titles: one for each column.
      heading: above all columns.
      unit: of the images' values.

    Raises:
      OutputError: the file cannot be written.
    """
    strips = [
        Strip("input", inputs),
        Strip("reconstruction", reconstructions),
        error_strip(inputs, reconstructions, unit),
    ]
    sheet = Sheet(strips, titles, heading=heading, unit=unit, shades=shades_of(inputs))
    write_png(sheet.figure, path)


def error_map_grid(
    path: str,
    images: np.ndarray,
    errors: np.ndarray,
    *,
    titles: Sequence[str],
    heading: str,
    levels: tuple[float, float],
) -> None:
    """Writes a PNG with a column per record: the record, the errors of its features as an overlay,
    and the errors alone.

    Args:
      path: the file to write.
      images: (N, H, W, C) pixel levels.
      errors: (N, H, W), of the features around each pixel.
      titles: one for each column.
      heading: above all columns.
      levels: the least and the greatest possible value of a pixel.

    Raises:
      OutputError: the file cannot be written.
    """
    low, high = levels
    over = heat_over((images - low) / (high - low), errors, float(errors.max()))
    strips = [
        Strip("input", images),
        Strip("feature error\nas overlay", low + over * (high - low)),
        Strip("error", errors, unit="squared error\nof features"),
    ]
    sheet = Sheet(strips, titles, heading=heading, unit="pixel level", shades=levels)
    write_png(sheet.figure, path)


def error_strip(images: np.ndarray, others: np.ndarray, unit: str) -> Strip:
    """The absolute difference of two rows of images, (N, H, W, C), averaged over channels."""
    return Strip("error", np.abs(images - others).mean(axis=-1), unit=f"error in\n{unit}s")
