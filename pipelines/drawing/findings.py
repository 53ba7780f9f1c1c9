"""A picture of what a model finds: images, their anomaly maps, and what is flagged."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipelines.console.output_file import write_file
from pipelines.drawing.frame import as_image, framed
from transforms.maps.overlay import HEAT

# In pixels.
_SIDE, _GAP, _TEXT, _LINE, _MARGIN = 208, 8, 17, 24, 136
_QUALITY = 85
_INK, _RED, _PAPER = "#1f2328", "#b3261e", "white"
_ROWS = ("image", "anomaly map", "regions")


class Finding(NamedTuple):
    """A column of the picture.

    Attributes:
      title: what the image shows.
      verdict: what the model says of it.
      flagged: whether that is bad news.
      image: (h, w, 3) or (h, w, 1) uint8.
      map: (h', w') float32 anomaly map.
      overlay: (h, w, 3) uint8, the image with its map and regions.
    """

    title: str
    verdict: str
    flagged: bool
    image: np.ndarray
    map: np.ndarray
    overlay: np.ndarray


def write_findings(path: str, findings: Sequence[Finding]) -> None:
    """Writes a JPEG with a column for each finding; the same findings give the same bytes.

    Maps share one scale, which ends at the median of their greatest values: one that stands out
    leaves the others visible.

    Raises:
      OutputError: it cannot be written.
    """
    hottest = float(np.median([np.nanmax(finding.map) for finding in findings]))
    width = _MARGIN + len(findings) * (_SIDE + _GAP)
    top = 2 * _LINE
    picture = Image.new("RGB", (width, top + len(_ROWS) * (_SIDE + _GAP)), _PAPER)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(_TEXT)
    for row, label in enumerate(_ROWS):
        middle = top + row * (_SIDE + _GAP) + _SIDE / 2
        draw.text((_MARGIN - 2 * _GAP, middle), label, _INK, font, anchor="rm")
    for column, finding in enumerate(findings):
        left = _MARGIN + column * (_SIDE + _GAP)
        draw.text((left + _SIDE / 2, _LINE - _GAP), finding.title, _INK, font, anchor="ms")
        colour = _RED if finding.flagged else _INK
        draw.text((left + _SIDE / 2, 2 * _LINE - _GAP), finding.verdict, colour, font, anchor="ms")
        shown = (finding.image, _as_heat(finding.map, hottest), finding.overlay)
        for row, pixels in enumerate(shown):
            picture.paste(_cell(pixels), (left, top + row * (_SIDE + _GAP)))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    write_file(path, file.getvalue(), "image/jpeg")


def _as_heat(values: np.ndarray, hottest: float) -> np.ndarray:
    """(h, w) float32 → (h, w, 3) uint8."""
    share = np.clip(np.nan_to_num(values) / max(hottest, 1e-12), 0.0, 1.0)
    return matplotlib.colormaps[HEAT](share, bytes=True)[..., :3]


def _cell(pixels: np.ndarray) -> Image.Image:
    return framed(as_image(pixels), _SIDE, Image.Resampling.BICUBIC)
