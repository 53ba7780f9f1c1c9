"""Inputs of any kind read as `ReadImages` reads them, without a pipeline."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from transforms.reading.read import common_carried, read_task
from transforms.records.batches import BatchLimits
from transforms.sources import resolve_inputs


def read_batches(
    *uris: str | Path, limits: BatchLimits | None = None, images: bool = True
) -> list[pa.RecordBatch]:
    """The batches of all tasks of the inputs."""
    sources = resolve_inputs([str(uri) for uri in uris])
    carried = common_carried(sources)
    return [
        batch
        for source in sources
        for task in source.tasks()
        for batch, _ in read_task(
            source, task, limits or BatchLimits(), carried=carried, images=images
        )
    ]


def read_rows(*uris: str | Path, limits: BatchLimits | None = None) -> list[dict[str, Any]]:
    """All records; reading the ids alone must give the same ones, without images."""
    rows, alone = (
        [
            row
            for batch in read_batches(*uris, limits=limits, images=images)
            for row in batch.to_pylist()
        ]
        for images in (True, False)
    )
    assert [row["id"] for row in alone] == [row["id"] for row in rows]
    assert all(row["image"] is None for row in alone)
    return rows
