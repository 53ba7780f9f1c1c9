"""A picture of where records are anomalous."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from pipelines.drawing.frame import as_image, framed
from pipelines.drawing.png import write_png
from pipelines.drawing.sheet import Sheet, Strip
from transforms.scoring.locate_records import LocatedRecord

_SIDE = 480  # pixels of the frame into which pictures of different shapes are fitted
_LARGEST = 3.6  # inches


def located_grid(
    path: str, records: Sequence[LocatedRecord], *, titles: Sequence[str], heading: str
) -> None:
    """Writes a PNG with a column per record: the record, its overlay, and its map.

    Args:
      path: the file to write.
      records: at least one.
      titles: one for each column.
      heading: above all columns.

    Raises:
      OutputError: the file cannot be written.
    """
    strips = [
        Strip("input", _framed([record.image for record in records])),
        Strip("boxes: regions,\nheat: map", _framed([record.overlay for record in records])),
        Strip("map", _framed([np.nan_to_num(record.map) for record in records]), unit="map"),
    ]
    sheet = Sheet(
        strips,
        titles,
        heading=heading,
        unit="pixel level",
        shades=(0.0, 255.0),
        largest=_LARGEST,
    )
    write_png(sheet.figure, path)


def _framed(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """(N, H, W, 3) uint8, or (N, H, W) float32, from pictures (h, w, C) or (h, w) of any size:
    unchanged if all have the same shape and number of channels, otherwise fitted into squares that
    are padded with white or 0."""
    images = [as_image(picture) for picture in pictures]
    if len({(image.size, image.mode) for image in images}) == 1:
        return np.stack([np.asarray(image) for image in images])
    mode = "F" if images[0].mode == "F" else "RGB"
    in_squares = (framed(image.convert(mode), _SIDE, Image.Resampling.BILINEAR) for image in images)
    return np.stack([np.asarray(image) for image in in_squares])
