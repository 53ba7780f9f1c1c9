"""Pictures of machined parts, drawn while they are read."""

import dataclasses
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import ClassVar

import pyarrow as pa

from transforms.records.batches import BatchLimits, image_records
from transforms.records.passed_over import PassedOver
from transforms.sources.drawn_parts.album import PICTURES, PartPicture, jpeg
from transforms.sources.source import Listing, Source, bounded_batches

_PREFIX = "parts/"
_RECORDS_OF_A_TASK = 50


@dataclasses.dataclass(frozen=True)
class Parts(Source):
    """600 colour JPEGs of 256 × 256 pixels: washers on a brushed table, 60 of them with a defect.

    `label` is `good` or the defect; `split` is `train`, for 360 good parts, or `test`.
    """

    picks: ClassVar[bool] = True

    def listings(self) -> Iterator[Listing]:
        for start in range(0, len(PICTURES), _RECORDS_OF_A_TASK):
            numbers = tuple(range(start, min(start + _RECORDS_OF_A_TASK, len(PICTURES))))
            yield Listing(numbers, records=len(numbers))

    def paths(self, task: Sequence[int]) -> list[str]:
        del task  # they are drawn
        return []

    def read(
        self,
        task: Sequence[int],
        limits: BatchLimits,
        images: bool = True,
        passed_over: PassedOver | None = None,
    ) -> Iterator[pa.RecordBatch]:
        del passed_over  # nothing is
        drawn = (
            (PICTURES[number], jpeg(PICTURES[number].draw().pixels) if images else None)
            for number in task
        )
        for batch in bounded_batches(drawn, lambda item: len(item[1] or b""), limits):
            yield self._records(*zip(*batch, strict=True))

    def holding(self, task: Sequence[int], ids: AbstractSet[str]) -> Sequence[int] | None:
        return tuple(number for number in task if _id(PICTURES[number]) in ids) or None

    def _records(
        self, pictures: Sequence[PartPicture], images: Sequence[bytes | None]
    ) -> pa.RecordBatch:
        return image_records(
            ids=[_id(picture) for picture in pictures],
            source=self.uri,
            images=images,
            carried={
                "label": pa.array([picture.kind for picture in pictures], pa.string()),
                "split": pa.array([picture.split for picture in pictures], pa.string()),
            },
        )

    def carried(self) -> pa.Schema:
        return pa.schema([("label", pa.string()), ("split", pa.string())])


def _id(picture: PartPicture) -> str:
    return _PREFIX + picture.name
