"""scikit-learn's embedded 8 × 8 handwritten digits."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from sklearn.datasets import load_digits

from transforms.records.batches import BatchLimits
from transforms.sources.array_records import array_records
from transforms.sources.source import Listing, Source

_HIGHEST_LEVEL = 16  # of the data set's grey levels
_RECORDS = 1797


@dataclasses.dataclass(frozen=True)
class Digits(Source):
    """1,797 grey images; `label` is the digit."""

    def listings(self) -> Iterator[Listing]:
        yield Listing(self.uri, records=_RECORDS)

    def paths(self, task: str) -> list[str]:
        del task  # it comes with scikit-learn
        return []

    def read(self, task: str, limits: BatchLimits, images: bool = True) -> Iterator[pa.RecordBatch]:
        del task  # there is one
        digits = load_digits()
        pixels = np.rint(digits.images * (255 / _HIGHEST_LEVEL)).astype(np.uint8)[..., None]
        for start in range(0, len(pixels), limits.rows):
            part = slice(start, start + limits.rows)
            yield array_records(
                "digits/", self.uri, start, pixels[part], digits.target[part], images
            )

    def carried(self) -> pa.Schema:
        return pa.schema([("label", pa.int64())])
