"""The shape of a run's images, from the first one that can be decoded."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ae_models.config.configuration import ImageConfig
from ae_models.errors import InputError
from transforms.execution.isolation import failed
from transforms.images.decoding import decode_as_is
from transforms.images.limits.size import check_pixels
from transforms.reading.looked_at import LookedAt
from transforms.reading.read import common_carried, read_task
from transforms.records.batches import ID, IMAGE, REJECT, BatchLimits
from transforms.records.pixels import raw_layout
from transforms.records.rejects import Reason, RecordError, Stage
from transforms.records.where import Where
from transforms.sources import Source

_LIMITS = BatchLimits(rows=16)

Layout = tuple[tuple[int, int, int], np.dtype]


def probe_image(
    sources: Sequence[Source], wheres: Sequence[Where], config: ImageConfig
) -> ImageConfig:
    """`config` with what is None in it taken from the first image that can be decoded.

    Raises:
      InputError: no record meets the conditions, or no image can be decoded.
      ConfigError: a condition names a column that the inputs do not have.
    """
    carried = common_carried(sources)
    for where in wheres:
        where.check(carried)
    if None not in (config.height, config.width, config.channels, config.bits):
        return config
    looked_at = LookedAt()
    layout = next(_layouts(sources, carried, wheres, config.max_pixels, looked_at), None)
    if layout is None:
        raise InputError(looked_at.nothing_found([source.uri for source in sources], wheres))
    (height, width, channels), dtype = layout
    return dataclasses.replace(
        config,
        height=config.height or height,
        width=config.width or width,
        channels=config.channels or channels,
        bits=config.bits or (8 if dtype == np.uint8 else 16),
    )


def _layouts(
    sources: Sequence[Source],
    carried: pa.Schema,
    wheres: Sequence[Where],
    max_pixels: int,
    looked_at: LookedAt,
) -> Iterator[Layout]:
    for source in sources:
        for task in source.tasks():
            for batch, excluded in read_task(source, task, _LIMITS, carried=carried, wheres=wheres):
                looked_at.excluded += excluded
                yield from _layouts_in(batch, max_pixels, looked_at)


def _layouts_in(batch: pa.RecordBatch, max_pixels: int, looked_at: LookedAt) -> Iterator[Layout]:
    metadata = batch.schema.field(IMAGE).metadata
    rows = zip(*(batch.column(name) for name in (ID, IMAGE, REJECT)), strict=True)
    for record, image, rejected in rows:
        reject = rejected.as_py()
        if reject is None:
            try:
                layout = _layout(image, metadata, max_pixels)
            except RecordError as error:
                reject = error.at(Stage.DECODE)
            except MemoryError as error:
                reject = failed(error, Stage.DECODE, Reason.OUT_OF_MEMORY)
            else:
                yield layout
                continue
        looked_at.add(record.as_py(), reject)


def _layout(image: pa.Scalar, metadata: Any, max_pixels: int) -> Layout:
    try:
        raw = raw_layout(metadata)
    except InputError as error:
        raise RecordError(Reason.WRONG_SHAPE, str(error)) from error
    if not image.is_valid:
        raise RecordError(Reason.NO_IMAGE, "the record's image is null")
    if raw is not None:
        (height, width, _), _ = raw
        check_pixels(width, height, max_pixels)
        return raw
    pixels = decode_as_is(image.as_py(), max_pixels)
    return pixels.shape, pixels.dtype
