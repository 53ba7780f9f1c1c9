"""Small pictures inside a page: arrays as data URIs."""

import base64
import dataclasses
import io

import matplotlib
import numpy as np
from bokeh.palettes import Magma256
from PIL import Image

from transforms.maps.overlay import OVER, enlarged, heat_over
from transforms.scoring.locate_records import LocatedRecord

_THUMBNAIL, _TILE = 48, 320  # the longest side, in pixels
_HEAT = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in Magma256], np.uint8)


@dataclasses.dataclass(frozen=True)
class Tiles:
    """The pictures of one record, as data URIs; None if there is no such picture (a model of
    features has no reconstruction, for example)."""

    input: str
    reconstruction: str | None = None
    error: str | None = None
    overlay: str | None = None


def thumbnail(pixels: np.ndarray) -> str:
    """A data URI of raw pixels, (H, W, C) uint8 or uint16, at most 48 pixels per side.

    16-bit images, which rarely use their full range, are stretched to it.
    """
    if pixels.dtype == np.uint16:
        image = _unit(pixels.astype(np.float32), float(pixels.min()), float(pixels.max()))
        return _uri(_shown_channels(_bytes(image)), _THUMBNAIL, "webp")
    return _uri(_shown_channels(pixels), _THUMBNAIL, "webp")


def tiles(inputs: np.ndarray, reconstructions: np.ndarray) -> tuple[list[Tiles], float]:
    """Pictures of inputs, reconstructions and errors, with one scale per kind for all records.

    Args:
      inputs: (N, H, W, C) scaled images.
      reconstructions: the same shape.

    Returns:
      The pictures, and the error with the brightest colour: the greatest absolute difference,
      averaged over channels.
    """
    low, high = float(inputs.min()), float(inputs.max())
    errors = np.abs(inputs - reconstructions).mean(axis=-1)
    worst = float(errors.max())
    heat = _HEAT[_bytes(_unit(errors, 0.0, worst))]
    result = [
        Tiles(
            _tile(_shown_channels(_bytes(_unit(image, low, high)))),
            _tile(_shown_channels(_bytes(_unit(reconstruction, low, high)))),
            _tile(error),
        )
        for image, reconstruction, error in zip(inputs, reconstructions, heat, strict=True)
    ]
    return result, worst


def error_tiles(images: np.ndarray, errors: np.ndarray) -> tuple[list[Tiles], float]:
    """Pictures of records, and of the errors of their features as overlays, all on one scale.

    Args:
      images: (N, H, W, C) pixel levels.
      errors: (N, H, W).

    Returns:
      The pictures, and the error with the brightest colour.
    """
    unit = _unit(images.astype(np.float32), float(images.min()), float(images.max()))
    worst = float(errors.max())
    over = heat_over(unit, errors, worst)
    result = [
        Tiles(_tile(_shown_channels(_bytes(image))), error=_tile(_bytes(heat)))
        for image, heat in zip(unit, over, strict=True)
    ]
    return result, worst


def located_tiles(record: LocatedRecord) -> Tiles:
    """Pictures of a record, and of its anomaly map as an overlay with boxes around regions."""
    shown = (record.image[..., 0] if record.image.shape[-1] == 1 else record.image, record.overlay)
    image, overlay = (_uri(picture, _TILE, "webp") for picture in shown)
    return Tiles(image, overlay=overlay)


def heat_bar() -> str:
    """The colours of the errors, from none to the greatest, as a data URI."""
    return _uri(_HEAT[np.newaxis], len(_HEAT))


def overlay_bar() -> str:
    """The colours of overlaid maps, from none to the greatest, as a data URI."""
    colours = matplotlib.colormaps[OVER](np.arange(256))[np.newaxis, :, :3]
    return _uri(_bytes(colours), 256)


def _unit(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((values - low) / max(high - low, 1e-12), 0, 1)


def _bytes(unit: np.ndarray) -> np.ndarray:
    return np.rint(unit * 255).astype(np.uint8)


def _shown_channels(image: np.ndarray) -> np.ndarray:
    """The colour channels, or the first channel if there are neither three nor four."""
    return image[..., :3] if image.shape[-1] in {3, 4} else image[..., 0]


def _tile(image: np.ndarray) -> str:
    return _uri(enlarged(image), _TILE)


def _uri(image: np.ndarray, longest: int, kind: str = "png") -> str:
    picture, content = Image.fromarray(image), io.BytesIO()
    picture.thumbnail((longest, longest))  # never enlarges
    picture.save(content, kind)
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
