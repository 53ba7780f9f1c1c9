"""`latentbeam explore reconstruct`: inputs beside what the model makes of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ae_models.bundles.names import TRANSFORM_OUTPUT
from ae_models.bundles.scorer import Scorer
from ae_models.training.preprocessing import Preprocessing
from pipelines.drawing.png import check_picture
from pipelines.drawing.reconstruction import reconstruction_grid
from pipelines.explore.model import UNIT, opened
from pipelines.explore.records import Choice
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
    """Draws inputs, their reconstructions and the errors between them; gives each record's mean
    absolute error, in pixel levels.

    Args:
      reading: fields of `ReadOptions`, how the inputs are read.

    Raises:
      LatentbeamError: a record, the bundle or the output cannot be used.
    """
    check_picture(output)
    options = ReadOptions(**(reading or {}))
    choice, bundle = Choice(inputs, ids, count, seed, where, options), opened(model)
    records = choice.find(bundle.config.image)
    outputs = Scorer(bundle.path, bundle.config).reconstruct(records.pixels)
    preprocessing = Preprocessing(bundle.path / TRANSFORM_OUTPUT)
    x, y = (
        preprocessing.levels(outputs[name], bundle.config.image.dtype)
        for name in ("input", "reconstruction")
    )
    errors = np.abs(x - y).mean(axis=(1, 2, 3)).tolist()
    titles = [
        f"{record}\nerror {error:.3g}" for record, error in zip(records.ids, errors, strict=True)
    ]
    heading = (
        f"Inputs, what the {bundle.config.model.kind.upper()} makes of them, and the absolute "
        "difference (above each column: its mean)"
    )
    reconstruction_grid(output, x, y, titles=titles, heading=heading, unit=UNIT)
    shown = [{"id": record, "error": e} for record, e in zip(records.ids, errors, strict=True)]
    return {"picture": output, "records": shown}
