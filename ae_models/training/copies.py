"""Whether held-out records are copies, or near-copies, of training records. If so, training has
seen them: p-values of unseen records are too small, and training stops too late."""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Mapping

import numpy as np

from ae_models.training.image_store import ImageStore, Part
from ae_models.training.splits import CALIBRATION, SPLITS, TRAIN, VALIDATION, SplitOrder

_ROWS, _COLUMNS = 8, 9
_CANDIDATES = 4  # training records whose pixels each held-out record is compared with
_ALIKE = 0.995  # the least correlation of pixels of near-copies
_MOST_PIXELS = 1 << 16  # in compared images: larger ones are reduced
# The records of a held-out split that are compared, those with the least hashes: fewer if images
# are large, since each is compared with several.
_SAMPLE, _SAMPLE_BYTES, _LEAST_SAMPLE = 512, 1 << 30, 32
_BLOCK = 65_536
# Shares of near-copies, and of exact ones, that merit a warning. Of calibration sets without
# copies, one in a hundred has this many by chance. A validation loss is meaningful as long as most
# of its records are new.
_MANY = {CALIBRATION: (0.1, 0.05), VALIDATION: (0.25, 0.25)}
_HARM = {
    CALIBRATION: "new images that are not, such as from another video or part, have p-values that "
    "are too small, and too many are flagged",
    VALIDATION: "their loss falls like that of training records, so that training ends too late",
}


@dataclasses.dataclass(frozen=True)
class Copies:
    """How many records of a held-out split have a copy among the training records.

    Attributes:
      records: the number of compared records.
      exact: the number of records that equal a training record, pixel by pixel.
      near: the number of near-copies, including exact ones.
    """

    records: int
    exact: int
    near: int

    def advice(self, split: str) -> str | None:
        """One line of advice if there are many copies in the held-out `split`, or None."""
        near, exact = _MANY[split]
        if self.near < near * self.records and self.exact < exact * self.records:
            return None
        return (
            f"{self.near:,} of {self.records:,} {split} records are near-copies of training "
            f"records, {self.exact:,} of them exact: {_HARM[split]}; set training.group to a "
            "column that distinguishes videos, parts or batches, or keep one image per scene"
        )


class Fingerprints:
    """Hashes by which copies are found, of every record as it is written. Memory: 16 bytes per
    record."""

    def __init__(self, order: SplitOrder):
        self._contents, self._outlines = (
            {s: np.empty(order.sizes[s], np.uint64) for s in SPLITS} for _ in range(2)
        )

    def __call__(self, part: Part) -> None:
        self._contents[part.split][part.places] = content_hashes(part.images)
        self._outlines[part.split][part.places] = outlines(part.images)

    def copies(self, stores: Mapping[str, ImageStore]) -> dict[str, Copies]:
        """The copies in calibration and validation, once all records are written to the splits'
        stores."""
        return {split: self._copies(split, stores) for split in (CALIBRATION, VALIDATION)}

    def _copies(self, split: str, stores: Mapping[str, ImageStore]) -> Copies:
        most = max(_LEAST_SAMPLE, _SAMPLE_BYTES // stores[split].image_bytes)
        sample = min(_SAMPLE, most, len(self._contents[split]))
        exact = np.isin(self._contents[split][:sample], self._contents[TRAIN])
        near = exact.copy()
        own, others = self._outlines[split][:sample], self._outlines[TRAIN]
        for row in np.flatnonzero(~exact).tolist():
            image = stores[split].read(row, row + 1)
            near[row] = any(
                correlation(image, stores[TRAIN].read(place, place + 1)) >= _ALIKE
                for place in _nearest(own[row], others)
            )
        return Copies(sample, int(exact.sum()), int(near.sum()))


def content_hashes(images: np.ndarray) -> np.ndarray:
    """A hash of the pixels of each image (N, H, W, C): (N,) uint64."""
    digests = (hashlib.blake2b(i.tobytes(), digest_size=8).digest() for i in images)
    return np.frombuffer(b"".join(digests), np.uint64)


def outlines(images: np.ndarray) -> np.ndarray:
    """A perceptual hash of each image (N, H, W, C), its "dHash": (N,) uint64.

    A bit is set if a value of the image, reduced to 8 × 9, is less than its right neighbour: images
    that differ by noise, light or compression differ in few bits.
    """
    small = _reduced(images, _ROWS, _COLUMNS)
    bits = small[:, :, :-1] < small[:, :, 1:]
    return np.packbits(bits.reshape(len(images), -1), axis=1).view(np.uint64)[:, 0]


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of the grey levels of two images, (1, H, W, C), reduced to about 65,000
    pixels; 0 for a flat image."""
    height, width = one.shape[1:3]
    times = math.ceil(math.sqrt(height * width / _MOST_PIXELS))
    rows, columns = -(-height // times), -(-width // times)
    a, b = (_reduced(image, rows, columns).reshape(-1) for image in (one, other))
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm else 0.0


def _nearest(outline: np.uint64, others: np.ndarray) -> list[int]:
    """The indices of those of `others` that differ in the fewest bits. There is no limit, because
    noise determines the bits of flat images."""
    found: list[tuple[int, int]] = []
    for start in range(0, len(others), _BLOCK):
        bits = np.bitwise_count(others[start : start + _BLOCK] ^ outline)
        places = np.argsort(bits, kind="stable")[:_CANDIDATES]
        found += zip(bits[places].tolist(), (start + places).tolist(), strict=True)
        found = sorted(found)[:_CANDIDATES]
    return [place for _, place in found]


def _reduced(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Means over the parts of each image's grey levels: (N, H, W, C) → (N, rows, columns)."""
    channels = images.shape[-1]
    # For three channels, a mean over the last axis takes four times as long.
    grey = images @ np.ones(channels, np.float32) / np.float32(channels)
    return _means(grey.shape[1], rows).T @ grey @ _means(grey.shape[2], columns)


@functools.cache
def _means(side: int, parts: int) -> np.ndarray:
    """The weights of `side` pixels in each of `parts` equal parts, (side, parts) float32."""
    edges = np.linspace(0, side, parts + 1)
    pixels = np.arange(side)[:, None]
    overlap = np.minimum(pixels + 1, edges[1:]) - np.maximum(pixels, edges[:-1])
    return (np.maximum(overlap, 0) * (parts / side)).astype(np.float32)
