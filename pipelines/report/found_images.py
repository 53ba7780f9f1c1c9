"""Finds the images that the page shows in a run's inputs."""

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
    """The images found for the requested records.

    Attributes:
      thumbnails: data URIs by id, in the requested order; the last ones are left out if all of
        them would take more than 5 MB.
      pixels: of the few that are needed in full, (H, W, C) by id.
      missing: how many were not found.
      reason: why, if the inputs could not be read or images could not be decoded; otherwise empty.
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
    """Looks for the records' images. Missing inputs are not an error: nothing is found there.

    Args:
      inputs: as given to `score`.
      ids: of the records, most important first.
      whole: ids of the records whose pixels are also returned.
      config: the bundle's, which determines the size and kind of the images.
      show: called with the number found so far.
      options: how the inputs are read.
    """
    wanted = list(dict.fromkeys([*whole, *ids]))
    made: dict[str, str] = {}
    pixels: dict[str, np.ndarray] = {}
    reason = "" if inputs else "the run does not record its inputs; give --input"
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
