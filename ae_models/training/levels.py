"""The pixel levels of the training records, and whether a few of them set the scale."""

import dataclasses

import numpy as np

from ae_models.training.image_store import Part
from ae_models.training.splits import TRAIN

_OUTSIDE = 1e-4  # the share of all values that is left out as the rarest lows and highs
_SMALL = 0.5  # of the range: if all other values span less, the rarest set the scale


@dataclasses.dataclass(frozen=True)
class Levels:
    """The range of the training records' pixel levels.

    Attributes:
      least, greatest: of all values.
      low, high: 99.99% of the values are between these, half of the others on either side.
      extreme: the id of the record whose value is furthest from these.
    """

    least: int
    greatest: int
    low: int
    high: int
    extreme: str

    @property
    def share(self) -> float:
        """The part of the range from least to greatest that contains 99.99% of the values."""
        return (self.high - self.low) / max(1, self.greatest - self.least)

    @property
    def scale(self) -> tuple[int, int]:
        """The levels that the scaling `quantile` maps to 0 and 1; if 99.99% of the values are
        equal, the least and the greatest."""
        return (self.low, self.high) if self.low < self.high else (self.least, self.greatest)

    def advice(self) -> str | None:
        """One line of advice if a few values set the scale `unit`, or None."""
        if self.low == self.high or self.share >= _SMALL:
            return None
        high = self.greatest - self.high >= self.low - self.least
        return (
            f"99.99% of the training records' values are between {self.low} and {self.high}, "
            f"{100 * self.share:.2g}% of the range {self.least} to {self.greatest} that "
            f"preprocessing.scaling 'unit' maps to 0 to 1: {self.extreme} has the value "
            f"{self.greatest if high else self.least}; leave such records out, or set "
            "preprocessing.scaling=quantile"
        )


class LevelCounts:
    """Counts each pixel level of the training records, as they are written. Memory: 512 KiB.

    Args:
      dtype: the pixels' dtype, uint8 or uint16.
    """

    def __init__(self, dtype: str):
        self._counts = np.zeros(np.iinfo(dtype).max + 1, np.int64)
        self._least, self._greatest = (len(self._counts), ""), (-1, "")

    def __call__(self, part: Part) -> None:
        if part.split != TRAIN:
            return
        for image_rows in np.array_split(part.images, max(1, part.images.size >> 22)):
            self._counts += np.bincount(image_rows.reshape(-1), minlength=len(self._counts))
        by_record = part.images.reshape(len(part.images), -1)
        least, greatest = by_record.min(axis=1), by_record.max(axis=1)
        # Of several, the record with the first id, whatever order they arrive in.
        at_least = (int(v := least.min()), min(_ids(part, least == v)))
        at_most = (int(v := greatest.max()), min(_ids(part, greatest == v)))
        self._least = min(self._least, at_least)
        self._greatest = min(self._greatest, at_most, key=lambda found: (-found[0], found[1]))

    def levels(self) -> Levels:
        """The levels counted so far.

        Raises:
          ValueError: no value was counted.
        """
        total = np.cumsum(self._counts)
        if not total[-1]:
            raise ValueError("no value was counted")
        below = int(total[-1] * _OUTSIDE / 2)
        low = int(np.searchsorted(total, below, side="right"))
        high = int(np.searchsorted(total, total[-1] - below, side="left"))
        (least, first), (greatest, last) = self._least, self._greatest
        extreme = last if greatest - high >= low - least else first
        return Levels(least, greatest, low, high, extreme)


def _ids(part: Part, chosen: np.ndarray) -> list[str]:
    return [part.ids[row] for row in np.flatnonzero(chosen)]
