"""The 600 pictures of parts: which there are, and each as a JPEG."""

import dataclasses
import io
from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from transforms.sources.drawn_parts.part import DEFECTS, GOOD, Drawing, draw_part

TRAIN, TEST, GROUND_TRUTH = "train", "test", "ground_truth"
_SEED = 20_261_130
_GOOD = {TRAIN: 360, TEST: 180}
_OF_EACH_DEFECT = 12  # all of them in the test split
_QUALITY = 92  # of the JPEGs


@dataclasses.dataclass(frozen=True)
class PartPicture:
    """One of the pictures.

    Attributes:
      number: 0 to 599.
      split: `train` or `test`.
      kind: `good`, or the defect.
      name: `test/scratch/003.jpg`, its path in a folder with the layout of MVTec AD.
    """

    number: int
    split: str
    kind: str
    name: str

    @property
    def mask_name(self) -> str:
        """The path of its defect's mask in that folder, `ground_truth/scratch/003_mask.png`."""
        return f"{GROUND_TRUTH}/{self.kind}/{PurePosixPath(self.name).stem}_mask.png"

    def draw(self) -> Drawing:
        """The picture's pixels and mask, which are always the same."""
        return draw_part(np.random.default_rng([_SEED, self.number]), self.kind)


def _pictures() -> Iterator[PartPicture]:
    counts = [(TRAIN, GOOD, _GOOD[TRAIN]), (TEST, GOOD, _GOOD[TEST])]
    counts += [(TEST, defect, _OF_EACH_DEFECT) for defect in DEFECTS]
    number = 0
    for split, kind, count in counts:
        for index in range(count):
            yield PartPicture(number, split, kind, f"{split}/{kind}/{index:03d}.jpg")
            number += 1


PICTURES = tuple(_pictures())


def jpeg(pixels: np.ndarray) -> bytes:
    """(H, W, 3) uint8 as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
