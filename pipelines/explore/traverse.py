"""`latentbeam explore traverse`: what each dimension of the latent space does to the image."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ae_models.bundles.keras_model import BundleModel
from ae_models.config.validated import check_range
from ae_models.errors import ConfigError, InputError
from ae_models.latents.walks import sweep
from pipelines.drawing.png import check_picture, write_png
from pipelines.drawing.sheet import Sheet, Strip, shades_of
from pipelines.drawing.text import signed
from pipelines.explore import MOST_STEPS
from pipelines.explore.model import UNIT, opened
from pipelines.explore.records import named_records
from transforms.reading.find_images import record_images
from transforms.reading.sample_ids import choose_ids
from transforms.records.batches import BatchLimits
from transforms.sources import ReadOptions
from transforms.sources.source import bounded_batches

_FURTHEST = 3.0  # standard deviations
_MOST_DIMENSIONS = 64
_SAMPLE = 1000  # records whose latents represent all of an input's


def traverse(
    model: str,
    output: str,
    *,
    inputs: Sequence[str] = (),
    around: str | None = None,
    dimensions: int = 10,
    steps: int = 7,
    seed: int = 0,
    reading: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Draws a row for each latent dimension, in order of decreasing effect: images as it moves
    from −3 to 3 standard deviations while all others stay fixed.

    For a VAE, the centre and the deviations are those of its prior; for other models, which have
    none, those of the latents of up to 1,000 of the inputs' records.

    Args:
      around: a record whose latent is the centre instead.
      dimensions: the maximum number of rows.
      steps: images per row.
      seed: of the choice of records.
      reading: fields of `ReadOptions`, how the inputs are read.

    Returns:
      For each dimension, in the order of the rows, its effect: the mean difference between the
      image at each step and the centre's, over pixels and steps, in pixel levels.

    Raises:
      LatentbeamError: the inputs, the record, the bundle or the output cannot be used.
    """
    check_picture(output)
    check_range(2, MOST_STEPS, steps=steps)
    check_range(0, seed=seed)
    check_range(1, _MOST_DIMENSIONS, dimensions=dimensions)
    if around is not None and not inputs:
        raise ConfigError(f"--around names a record of --input; give both. Received: {around!r}")
    bundle = opened(model)
    explored, options = BundleModel(bundle), ReadOptions(**(reading or {}))
    centre, stddev, origin = _moments(explored, inputs, around, seed, options)
    if around is not None:
        records = named_records(inputs, [around], bundle.config.image, options)
        centre, origin = explored.latents(records.pixels)[0], around
    deviations = np.linspace(-_FURTHEST, _FURTHEST, steps)

    def images(dimension: int) -> np.ndarray:
        return explored.decoded(sweep(centre, stddev, dimension, deviations))

    effects = _effects(images, explored.decoded(centre[None]), len(centre))
    order = np.argsort(-effects, kind="stable")[:dimensions].tolist()
    rows = [images(k) for k in order]
    strips = [
        Strip(f"z[{k}]\neffect {effects[k]:.2g}", row) for k, row in zip(order, rows, strict=True)
    ]
    titles = [f"{signed(value)} σ" if value else "0" for value in deviations]
    heading = (
        f"{bundle.config.model.kind.upper()}: {len(order)} of {len(centre)} latent dimensions, "
        f"each moved by standard deviations around {origin}. Effect: mean change of the image, in "
        "pixel levels"
    )
    shades = shades_of(*rows, within=explored.range)
    write_png(Sheet(strips, titles, heading=heading, unit=UNIT, shades=shades).figure, output)
    effective = [{"dimension": k, "effect": float(effects[k])} for k in order]
    return {"picture": output, "dimensions": effective}


def _effects(
    images: Callable[[int], np.ndarray], centre: np.ndarray, dimensions: int
) -> np.ndarray:
    """Computes one dimension after another, with memory for the images of one row."""
    return np.array([np.abs(images(k) - centre).mean() for k in range(dimensions)])


def _moments(
    model: BundleModel,
    inputs: Sequence[str],
    around: str | None,
    seed: int,
    options: ReadOptions,
) -> tuple[np.ndarray, np.ndarray, str]:
    """The mean and the standard deviation of each dimension, and a name for the mean."""
    if model.has_prior:
        if inputs and around is None:
            raise ConfigError(
                "a VAE is traversed around its prior's mean: leave out --input, or add --around ID"
            )
        return (*model.prior_moments(), "the prior's mean")
    if not inputs:
        raise ConfigError(
            f"a model of kind {model.config.model.kind} has no prior: give --input, records whose "
            "latents determine the range of each dimension"
        )
    parts = list(_sampled_latents(model, inputs, seed, options))
    if not parts:
        raise InputError(f"no record of {', '.join(inputs)} can be decoded")
    latents = np.concatenate(parts)
    return latents.mean(axis=0), latents.std(axis=0), f"the mean of {len(latents):,} records"


def _sampled_latents(
    model: BundleModel, inputs: Sequence[str], seed: int, options: ReadOptions
) -> Iterator[np.ndarray]:
    """The latents of one batch of records at a time."""
    image = model.config.image
    ids = choose_ids(inputs, _SAMPLE, seed, options=options)
    found = record_images(inputs, ids, image, options)
    limits = BatchLimits(rows=model.config.batch_rows)
    for batch in bounded_batches(found, lambda record: record[1].nbytes, limits):
        yield model.latents(np.stack([pixels for _, pixels in batch]))
