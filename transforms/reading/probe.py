"""The shape of a run's images, from the first one that can be decoded."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from ae_models.config.configuration import ImageConfig
from ae_models.errors import InputError
from transforms.images.decoding import decode_as_is
from transforms.images.limits.size import check_pixels
from transforms.reading.read import common_carried, read_task
from transforms.records.batches import IMAGE, BatchLimits
from transforms.records.pixels import raw_layout
from transforms.records.rejects import RecordError
from transforms.records.where import Where
from transforms.sources import Source

_LIMITS = BatchLimits(rows=16)


def probe_image(
    sources: Sequence[Source], wheres: Sequence[Where], config: ImageConfig
) -> ImageConfig:
    """`config` with what is None in it taken from the first image that can be decoded.

    Raises:
      InputError: no image of the inputs can be decoded.
    """
    if None not in (config.height, config.width, config.channels, config.bits):
        return config
    layout = next(_layouts(sources, wheres, config), None)
    if layout is None:
        raise InputError(f"no image can be decoded in {', '.join(s.uri for s in sources)}")
    (height, width, channels), dtype = layout
    return dataclasses.replace(
        config,
        height=config.height or height,
        width=config.width or width,
        channels=config.channels or channels,
        bits=config.bits or (8 if dtype == np.uint8 else 16),
    )


def _layouts(
    sources: Sequence[Source], wheres: Sequence[Where], config: ImageConfig
) -> Iterator[tuple[tuple[int, int, int], np.dtype]]:
    carried = common_carried(sources)
    for source in sources:
        for task in source.tasks():
            for batch, _ in read_task(source, task, _LIMITS, carried=carried, wheres=wheres):
                yield from _layouts_in(batch, config)


def _layouts_in(
    batch: pa.RecordBatch, config: ImageConfig
) -> Iterator[tuple[tuple[int, int, int], np.dtype]]:
    raw = raw_layout(batch.schema.field(IMAGE).metadata)
    for value in batch.column(IMAGE).drop_null():
        try:
            if raw is not None:
                (height, width, _), _ = raw
                check_pixels(width, height, config.max_pixels)
                yield raw
                continue
            pixels = decode_as_is(value.as_py(), config.max_pixels)
        except (RecordError, MemoryError):
            continue
        yield pixels.shape, pixels.dtype
