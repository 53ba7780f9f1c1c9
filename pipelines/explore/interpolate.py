"""`latentbeam explore interpolate`: the path from one record to another through latent space."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ae_models.bundles.keras_model import BundleModel
from ae_models.config.validated import check_range
from ae_models.errors import ConfigError
from ae_models.latents.walks import linear_path, spherical_path
from pipelines.drawing.class_lines import draw_class_lines
from pipelines.drawing.png import check_picture, write_png
from pipelines.drawing.sheet import Sheet, Strip, shades_of
from pipelines.explore import MOST_STEPS_OF_A_WAY
from pipelines.explore.model import UNIT, check_model, opened
from pipelines.explore.records import Records, named_records
from pipelines.explore.way_classes import WayClasses, way_classes
from transforms.sources import ReadOptions

_LEAST_POINTS = 96  # per line
_LINES_INCHES = 2.6

Path = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def interpolate(
    model: str,
    output: str,
    *,
    inputs: Sequence[str],
    start: str,
    end: str,
    steps: int = 9,
    scores: str | None = None,
    label: str | None = None,
    seed: int = 0,
    reading: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Draws images on the path between two records: for a VAE, on the great circle about the
    origin, where its prior has its mass; for other models, on the straight line. Below them, if a
    run and a column are given, draws p(class) along the path.

    Args:
      start: a record of the inputs.
      end: another one.
      steps: images on the path, including both ends.
      scores: a run of this model, with latents.
      label: the run's column of classes.
      seed: of the rows that the classes are fitted to.
      reading: fields of `ReadOptions`, how the inputs are read.

    Returns:
      The kind of path and, if requested, p(class) at each image and the p-value of its evidence.

    Raises:
      LatentbeamError: a record, the run, the bundle or the output cannot be used.
    """
    check_picture(output)
    check_range(2, MOST_STEPS_OF_A_WAY, steps=steps)
    check_range(0, seed=seed)
    if (scores is None) != (label is None):
        raise ConfigError("give --scores and --label together: a run, and its column of classes")
    bundle = opened(model)
    if scores is not None:
        check_model(scores, bundle)
    options = ReadOptions(**(reading or {}))
    records = named_records(inputs, [start, end], bundle.config.image, options)
    explored = BundleModel(bundle)
    (first, last), stddevs = explored.posteriors(records.pixels)
    path: Path = spherical_path if explored.has_prior else linear_path
    name = "great circle" if explored.has_prior else "straight line"
    shares = np.linspace(0.0, 1.0, steps)
    images = explored.decoded(path(first, last, shares))
    classes, between = None, -(-_LEAST_POINTS // (steps - 1))
    if scores is not None and label is not None:
        fine = np.linspace(0.0, 1.0, (steps - 1) * between + 1)
        # The ends are as uncertain as the records, so that they have the records' probabilities.
        spread = None if stddevs is None else linear_path(stddevs[0], stddevs[1], fine)
        classes = way_classes(scores, label, path(first, last, fine), spread, seed)
    heading = f"From one record to another along the {name} between their latents"
    sheet = _sheet(
        records,
        images,
        shares=shares,
        heading=heading,
        within=explored.range,
        with_lines=classes is not None,
    )
    found = {} if classes is None else _draw_classes(sheet, classes, shares, between)
    write_png(sheet.figure, output)
    return {"picture": output, "path": name, **found}


def _sheet(
    records: Records,
    images: np.ndarray,
    *,
    shares: np.ndarray,
    heading: str,
    within: tuple[int, int],
    with_lines: bool,
) -> Sheet:
    strip = np.concatenate([records.pixels[:1], images, records.pixels[1:]])
    first, last = (f"{record}\ninput" for record in records.ids)
    titles = [first, *(f"{share:.0%}" for share in shares), last]
    shades = shades_of(strip, within=within)
    if with_lines:
        heading += ", with p(class) along the path"
    below = _LINES_INCHES if with_lines else 0.0
    return Sheet([Strip("", strip)], titles, heading=heading, unit=UNIT, shades=shades, below=below)


def _draw_classes(
    sheet: Sheet, classes: WayClasses, shares: np.ndarray, between: int
) -> dict[str, Any]:
    """Draws p(class) below the images; returns its values at each image."""
    columns = np.arange(1, len(shares) + 1)
    axes = sheet.axes_below(1, len(shares))
    positions = np.linspace(1, len(shares), len(classes.p_values))
    draw_class_lines(axes, positions=positions, **classes._asdict(), between=between)
    axes.set_xticks(columns, [f"{share:.0%}" for share in shares])
    probabilities = classes.probabilities[::between].T.tolist()
    return {
        "classes": dict(zip(classes.classes, probabilities, strict=True)),
        "p_values": classes.p_values[::between].tolist(),
    }
