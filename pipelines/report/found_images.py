"""The images that the page shows, found again in a run's inputs."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np

from ae_models.config.configuration import ImageConfig
from ae_models.errors import InputError
from pipelines.report.pictures import thumbnail
from transforms.reading.find_images import record_images
from transforms.reading.looked_at import LookedAt
from transforms.sources import USUAL, ReadOptions

_MOST_BYTES = 5_000_000  # of all thumbnails together


@dataclasses.dataclass(frozen=True)
class FoundImages:
    """What was found of the records that were asked for.

    Attributes:
      thumbnails: data URIs by id, in the order asked for; those at the end are left out where all
        of them would take more than 5 MB.
      pixels: of the few that are wanted whole, (H, W, C) by id.
      missing: how many were not found.
      reason: why, where the inputs as a whole could not be read, or images could not be decoded;
        else empty.
    """

    thumbnails: dict[str, str]
    pixels: dict[str, np.ndarray]
    missing: int
    reason: str


def find_images(
    inputs: Sequence[str],
    ids: Iterable[str],
    whole: Collection[str],
    config: ImageConfig,
    show: Callable[[int], None] = lambda _: None,
    options: ReadOptions = USUAL,
) -> FoundImages:
    """Looks for the records' images. Inputs that are gone are no error: nothing is found there.

    Args:
      inputs: as `score` was given them.
      ids: of the records, the most important ones first.
      whole: those of which pixels are kept as well.
      config: the bundle's, which images are brought to.
      show: told how many have been found.
      options: how the inputs are read.
    """
    wanted = list(dict.fromkeys([*whole, *ids]))
    made: dict[str, str] = {}
    pixels: dict[str, np.ndarray] = {}
    reason = "" if inputs else "the run does not say what its inputs were"
    looked_at = LookedAt()
    try:
        for record, image in record_images(inputs, wanted, config, options, looked_at):
            made[record] = thumbnail(image)
            if record in whole:
                pixels[record] = image
            show(len(made))
    except InputError as error:
        reason = str(error)
    reason = reason or looked_at.told()
    return FoundImages(_within(made, wanted), pixels, len(wanted) - len(made), reason)


def _within(made: dict[str, str], wanted: Sequence[str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    held = 0
    for record in wanted:
        if record in made:
            held += len(made[record])
            if held > _MOST_BYTES:
                break
            kept[record] = made[record]
    return kept
