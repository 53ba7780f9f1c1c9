"""`latentbeam explore sample`: images sampled from a variational model."""

from typing import Any

from ae_models.bundles.keras_model import BundleModel
from ae_models.config.validated import check_range
from pipelines.drawing.png import check_picture, write_png
from pipelines.drawing.sheet import Sheet, Strip, shades_of
from pipelines.explore import MOST_SHOWN
from pipelines.explore.model import UNIT, opened


def sample(model: str, output: str, count: int = 10, seed: int = 0) -> dict[str, Any]:
    """Draws z from the prior and, for each, the mean of p(x | z) and an image drawn from it.

    Raises:
      LatentbeamError: the model is not variational, or the bundle or output cannot be used.
    """
    check_picture(output)
    check_range(1, MOST_SHOWN, count=count)
    check_range(0, seed=seed)
    bundle = opened(model)
    explored = BundleModel(bundle)
    means, drawn = explored.sampled(count, seed)
    strips = [Strip("mean of p(x|z)", means), Strip("drawn from p(x|z)", drawn)]
    heading = f"{count} draws of z from the prior: the mean image of each, and one sampled image"
    shades = shades_of(means, within=explored.range)
    write_png(Sheet(strips, (), heading=heading, unit=UNIT, shades=shades).figure, output)
    return {"picture": output, "samples": count}
