"""`latentbeam explore reconstruct`: inputs beside their reconstructions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ae_models.bundles.bundle import Bundle
from ae_models.bundles.names import ERROR_MAP, TRANSFORM_OUTPUT
from ae_models.bundles.scorer import Scorer
from ae_models.training.preprocessing import Preprocessing
from pipelines.drawing.png import check_picture
from pipelines.drawing.reconstruction import error_map_grid, reconstruction_grid
from pipelines.explore.model import UNIT, opened
from pipelines.explore.records import Choice, Records
from transforms.sources import ReadOptions


def reconstruct(
    model: str,
    output: str,
    *,
    inputs: Sequence[str],
    ids: str | None = None,
    count: int = 10,
    seed: int = 0,
    where: Sequence[str] = (),
    reading: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Draws inputs, their reconstructions and the errors between them; returns each record's mean
    absolute error, in pixel levels. For a model of features, draws where features are reconstructed
    worst, and returns their mean squared error.

    Args:
      reading: fields of `ReadOptions`, how the inputs are read.

    Raises:
      LatentbeamError: a record, the bundle or the output cannot be used.
    """
    check_picture(output)
    options = ReadOptions(**(reading or {}))
    choice, bundle = Choice(inputs, ids, count, seed, where, options), opened(model)
    records = choice.find(bundle.config.image)
    draw = _draw_features if bundle.config.features.is_on else _draw_pixels
    errors = draw(output, bundle, records)
    shown = [{"id": record, "error": e} for record, e in zip(records.ids, errors, strict=True)]
    return {"picture": output, "records": shown}


def _draw_pixels(output: str, bundle: Bundle, records: Records) -> list[float]:
    """Draws the grid; returns each record's mean absolute error, in pixel levels."""
    outputs = Scorer(bundle.path, bundle.config).reconstruct(records.pixels)
    preprocessing = Preprocessing(bundle.path / TRANSFORM_OUTPUT)
    x, y = (
        preprocessing.levels(outputs[name], bundle.config.image.dtype)
        for name in ("input", "reconstruction")
    )
    errors: list[float] = np.abs(x - y).mean(axis=(1, 2, 3)).tolist()
    heading = (
        f"Inputs, reconstructions by the {bundle.config.model.kind.upper()}, and their absolute "
        "difference (above each column: its mean)"
    )
    titles = _titles(records, errors)
    reconstruction_grid(output, x, y, titles=titles, heading=heading, unit=UNIT)
    return errors


def _draw_features(output: str, bundle: Bundle, records: Records) -> list[float]:
    """Draws the grid; returns the mean squared error of each record's features, in scaled units."""
    scorer = Scorer(bundle.path, bundle.config)
    maps = scorer.score(records.pixels, maps=True)[ERROR_MAP]
    errors: list[float] = maps.mean(axis=(1, 2)).tolist()
    heading = (
        f"Inputs, and where the {bundle.config.model.kind.upper()} reconstructs their features "
        "worst (above each column: the mean squared error)"
    )
    levels = (0.0, float(bundle.config.image.greatest_level))
    images, titles = records.pixels.astype(np.float32), _titles(records, errors)
    error_map_grid(output, images, maps, titles=titles, heading=heading, levels=levels)
    return errors


def _titles(records: Records, errors: list[float]) -> list[str]:
    return [
        f"{record}\nerror {error:.3g}" for record, error in zip(records.ids, errors, strict=True)
    ]
