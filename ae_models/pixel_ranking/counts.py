"""Pixels counted by value: all that rankings of pixels are computed from."""

import dataclasses

import numpy as np
from scipy import ndimage

from ae_models.pixel_ranking.half_floats import CODES, codes

_TOUCHING = np.ones((3, 3), bool)  # pixels of one region may touch at a corner


@dataclasses.dataclass(frozen=True)
class ImagePixels:
    """The pixel counts of one image.

    Attributes:
      normal, anomalous: the number of such pixels with each code, (65,536,) int64.
      overlap: the share of each region with each code, summed over the regions, (65,536,) float64.
      regions: the number of connected anomalous regions.
    """

    normal: np.ndarray
    anomalous: np.ndarray
    overlap: np.ndarray
    regions: int

    @classmethod
    def of(cls, values: np.ndarray, mask: np.ndarray | None) -> "ImagePixels":
        """Counts the pixels of a map, (H, W) float, with NaN as the least value, and a mask,
        (H, W) bool; None: all pixels are normal."""
        ranked = codes(values)
        everything = np.bincount(ranked.reshape(-1), minlength=CODES)
        overlap, found = np.zeros(CODES), 0
        if mask is None or not mask.any():
            return cls(everything, np.zeros(CODES, np.int64), overlap, found)
        anomalous = np.bincount(ranked[mask], minlength=CODES)
        labels, found = ndimage.label(mask, _TOUCHING)
        for number, place in enumerate(ndimage.find_objects(labels, found), 1):
            region = ranked[place][labels[place] == number]
            overlap += np.bincount(region, minlength=CODES) / len(region)
        return cls(everything - anomalous, anomalous, overlap, found)


@dataclasses.dataclass
class PixelCounts:
    """Sums over images. Memory is 2 MiB, however many there are.

    Attributes:
      images, normal_images: the number of images, and of images without an anomalous pixel.
      normal, anomalous, overlap, regions: as in `ImagePixels`.
      usual: the share of each normal image's pixels with each code, summed over these images.
    """

    images: int = 0
    normal_images: int = 0
    regions: int = 0
    normal: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(CODES, np.int64))
    anomalous: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(CODES, np.int64))
    overlap: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(CODES))
    usual: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(CODES))

    def add(self, image: ImagePixels) -> None:
        """Adds an image."""
        self.images += 1
        self.normal += image.normal
        self.anomalous += image.anomalous
        self.overlap += image.overlap
        self.regions += image.regions
        if not image.regions:
            self.normal_images += 1
            self.usual += image.normal / image.normal.sum()

    def merged(self, other: "PixelCounts") -> "PixelCounts":
        """The sums over the images of both."""
        return PixelCounts(
            *(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True))
        )
