"""`latentbeam explore direction`: the direction in latent space that corresponds to a label."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ae_models.bundles.bundle import Bundle
from ae_models.bundles.keras_model import BundleModel
from ae_models.config.validated import check_range
from ae_models.errors import InputError
from ae_models.latents.walks import AttributeVector, along, attribute_vector
from pipelines.console.progress import Progress
from pipelines.drawing.png import check_picture, write_png
from pipelines.drawing.sheet import Sheet, Strip, shades_of
from pipelines.drawing.text import signed
from pipelines.explore import MOST_STEPS
from pipelines.explore.model import UNIT, check_model, opened
from pipelines.explore.records import Choice
from transforms.records.where import Where
from transforms.results.reader import (
    LATENT_MEAN,
    latent_columns,
    read_row_group,
    row_groups,
    scored_count,
    scored_schema,
    vectors,
)
from transforms.sources import ReadOptions

_FURTHEST = 2.0  # times the vector
_MOST_ROWS = 5


def direction(
    model: str,
    output: str,
    *,
    scores: str,
    label: str,
    inputs: Sequence[str] = (),
    ids: str | None = None,
    count: int = _MOST_ROWS,
    seed: int = 0,
    steps: int = 5,
    reading: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Draws images with −2 to 2 times a label's direction added to their latents, one row per
    record.

    The direction is the mean latent of the run's records that satisfy the condition minus that of
    all others (Larsen et al. 2016, "Autoencoding beyond pixels using a learned similarity metric",
    3.3). Records whose column is null belong to neither. The rows are read once, batch by batch.

    Args:
      scores: a run of this model, with latents.
      label: the condition, COLUMN=VALUE[,VALUE].
      inputs: where the records to show are; without them, the mean of all latents is shown.
      ids, count, seed: which records, as in `Choice`.
      steps: images per row.
      reading: fields of `ReadOptions`, how the inputs are read.

    Raises:
      LatentbeamError: the run, the condition, a record, the bundle or the output cannot be used.
    """
    check_picture(output)
    check_range(2, MOST_STEPS, steps=steps)
    check_range(0, seed=seed)
    choice = Choice(inputs, ids, count, seed, options=ReadOptions(**(reading or {})))
    bundle, where = opened(model), Where.parse(label)
    found = _vector(scores, where, bundle)
    explored = BundleModel(bundle)
    factors = np.linspace(-_FURTHEST, _FURTHEST, steps)
    if inputs:
        records = choice.find(bundle.config.image)
        labels, points, first = records.ids, explored.latents(records.pixels), records.pixels
    else:
        labels, points, first = ["mean of the run"], found.centre[None], None
    rows = [explored.decoded(along(point, found.vector, factors)) for point in points]
    titles = [f"{signed(factor)} ×" if factor else "decoded" for factor in factors]
    if first is not None:
        rows = [np.concatenate([x[None], row]) for x, row in zip(first, rows, strict=True)]
        titles = ["input", *titles]
    strips = [Strip(name, row) for name, row in zip(labels, rows, strict=True)]
    heading = (
        f"Direction of {where}: mean latent of {found.members:,} records minus that of "
        f"{found.others:,} others, subtracted from and added to images"
    )
    shades = shades_of(*rows, within=explored.range)
    write_png(Sheet(strips, titles, heading=heading, unit=UNIT, shades=shades).figure, output)
    return {"picture": output, "members": found.members, "others": found.others,
            "vector": found.vector.tolist()}  # fmt: skip


def _vector(scores: str, where: Where, bundle: Bundle) -> AttributeVector:
    check_model(scores, bundle)
    latent_columns(scores)
    where.check(scored_schema(scores))
    with Progress("reading latents", scored_count(scores)) as progress:
        try:
            return attribute_vector(_parts(scores, where, progress))
        except ValueError as error:
            raise InputError(
                f"{scores}: a direction needs records with and without {where}: {error}"
            ) from error


def _parts(
    scores: str, where: Where, progress: Progress
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    done = 0
    for group in row_groups(scores):
        for batch in read_row_group(group, list(dict.fromkeys([LATENT_MEAN, where.column]))):
            done += len(batch)
            known = batch.filter(batch.column(where.column).is_valid())
            mask = where.mask(known.column(where.column)).to_numpy(zero_copy_only=False)
            yield vectors(known.column(LATENT_MEAN)), mask
            progress.show(done)
