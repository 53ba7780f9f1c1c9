"""Inputs of any kind read as `ReadImages` reads them, without a pipeline."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from transforms.reading.read import common_carried, read_task
from transforms.records.batches import BatchLimits
from transforms.records.passed_over import PassedOver
from transforms.sources import USUAL, ReadOptions, Source, resolve_inputs
from transforms.sources.image_files import ImageFiles
from transforms.sources.npz import NpzArrays

Input = str | Path | Source


def in_small_tasks(*uris: str | Path, rows: int = 20) -> list[Source]:
    """The inputs, in tasks of eight image files, or of so many rows of an archive."""
    return [_in_small_tasks(source, rows) for source in resolve_inputs([str(uri) for uri in uris])]


def _in_small_tasks(source: Source, rows: int) -> Source:
    if isinstance(source, NpzArrays):
        return dataclasses.replace(source, range_bytes=1, range_rows=rows)
    if isinstance(source, ImageFiles):
        return dataclasses.replace(source, task_paths=8)
    return source


def listed_passed_over(*inputs: Input, options: ReadOptions = USUAL) -> PassedOver:
    """What the listings of the inputs pass over."""
    return _passed_over(
        listing.passed_over for source in _sources(inputs, options) for listing in source.listings()
    )


def passed_over_by(*inputs: Input, options: ReadOptions = USUAL) -> dict[str, int]:
    """The same, counted by cause."""
    return listed_passed_over(*inputs, options=options).by_cause()


def _passed_over(parts: Iterable[PassedOver | None]) -> PassedOver:
    total = PassedOver()
    for part in filter(None, parts):
        total.update(part)
    return total


def _sources(inputs: Sequence[Input], options: ReadOptions) -> list[Source]:
    named = [str(given) for given in inputs if not isinstance(given, Source)]
    sources = [given for given in inputs if isinstance(given, Source)]
    return sources + (resolve_inputs(named, options) if named else [])


def read_batches(
    *inputs: Input,
    limits: BatchLimits | None = None,
    images: bool = True,
    options: ReadOptions = USUAL,
) -> list[pa.RecordBatch]:
    """The batches of all tasks of the inputs."""
    sources = _sources(inputs, options)
    carried = common_carried(sources)
    return [
        batch
        for source in sources
        for task in source.tasks()
        for batch, _ in read_task(
            source, task, limits or BatchLimits(), carried=carried, images=images
        )
    ]


def read_rows(
    *inputs: Input, limits: BatchLimits | None = None, options: ReadOptions = USUAL
) -> list[dict[str, Any]]:
    """All records; reading the ids alone must give the same ones, without images."""
    rows, alone = (
        [
            row
            for batch in read_batches(*inputs, limits=limits, images=images, options=options)
            for row in batch.to_pylist()
        ]
        for images in (True, False)
    )
    assert [row["id"] for row in alone] == [row["id"] for row in rows]
    assert all(row["image"] is None for row in alone)
    return rows
