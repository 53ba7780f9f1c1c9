"""scikit-learn's embedded 8 × 8 handwritten digits."""

import dataclasses
import gzip
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from ae_models.errors import InputError
from transforms.records.batches import BatchLimits
from transforms.records.passed_over import PassedOver
from transforms.sources.array_records import array_records
from transforms.sources.source import Listing, Source

_HIGHEST_LEVEL = 16  # the data set's highest grey level
_RECORDS = 1797


@dataclasses.dataclass(frozen=True)
class Digits(Source):
    """1,797 grey images; `label` is the digit."""

    def listings(self) -> Iterator[Listing]:
        yield Listing(self.uri, records=_RECORDS)

    def paths(self, task: str) -> list[str]:
        del task  # the data set comes with scikit-learn
        return []

    def read(
        self,
        task: str,
        limits: BatchLimits,
        images: bool = True,
        passed_over: PassedOver | None = None,
    ) -> Iterator[pa.RecordBatch]:
        del task, passed_over  # there is one task, and nothing in it is passed over
        levels, labels = _digits()
        pixels = np.rint(levels * (255 / _HIGHEST_LEVEL)).astype(np.uint8)[..., None]
        for start in range(0, len(pixels), limits.rows):
            part = slice(start, start + limits.rows)
            yield array_records(
                "digits/",
                self.uri,
                start,
                images=pixels[part],
                labels=pa.array(labels[part]),
                with_images=images,
            )

    def carried(self) -> pa.Schema:
        return pa.schema([("label", pa.int64())])


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Grey levels (1797, 8, 8) float64 and labels (1797,) int64, as `sklearn.datasets.load_digits`
    returns them. They are read from its file because importing scikit-learn takes longer than
    everything done with them here.

    Raises:
      InputError: scikit-learn, or its data file, is not installed.
    """
    found = importlib.util.find_spec("sklearn")
    folders = found.submodule_search_locations if found else None
    try:
        with gzip.open(Path(*(folders or ())[:1], "datasets", "data", "digits.csv.gz")) as file:
            rows = np.loadtxt(file, delimiter=",")
    except OSError as error:
        raise InputError(f"cannot read scikit-learn's digits data set: {error}") from error
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.int64)
