"""`latentbeam explore interpolate`: the way from one record to another through latent space."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ae_models.bundle_model import BundleModel
from ae_models.latent_walks import linear_path, spherical_path
from pipelines.explore.model import UNIT, opened
from pipelines.explore.records import named_records
from pipelines.pictures.png import check_picture, write_png
from pipelines.pictures.sheet import Sheet, Strip, shades_of


def interpolate(
    model: str,
    output: str,
    inputs: Sequence[str],
    start: str,
    end: str,
    steps: int = 9,
) -> dict[str, Any]:
    """Draws images on the way between two records: of a VAE on the great circle about the origin,
    where its prior has its mass, of other models on the straight line.

    Args:
      start: a record of the inputs.
      end: another.
      steps: images on the way, both ends among them.

    Raises:
      LatentbeamError: a record, the bundle or the output cannot be used.
    """
    check_picture(output)
    bundle = opened(model)
    records = named_records(inputs, [start, end], bundle.config.image)
    explored = BundleModel(bundle)
    path = spherical_path if explored.has_prior else linear_path
    shares = np.linspace(0.0, 1.0, steps)
    first, last = explored.latents(records.pixels)
    images = explored.decoded(path(first, last, shares))
    strip = np.concatenate([records.pixels[:1], images, records.pixels[1:]])
    titles = [f"{start}\ninput", *(f"{share:.0%}" for share in shares), f"{end}\ninput"]
    shape = "great circle" if explored.has_prior else "straight line"
    heading = f"From one record to another on the {shape} between their latents"
    shades = shades_of(strip, within=explored.range)
    write_png(Sheet([Strip("", strip)], titles, heading, UNIT, shades).figure, output)
    return {"picture": output, "path": shape}
