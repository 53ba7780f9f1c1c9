"""Image records from arrays, without an object for each record."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.records.batches import image_records
from transforms.records.pixels import pixels_to_arrow, raw_metadata


def numbered_ids(prefix: str, start: int, count: int) -> pa.Array:
    """`prefix` followed by start, start + 1, …: (count,) strings."""
    numbers = pa.array(np.arange(start, start + count)).cast(pa.string())
    return pc.binary_join_element_wise(pa.scalar(prefix), numbers, "")


def array_records(
    prefix: str,
    source: str,
    start: int,
    *,
    images: np.ndarray,
    labels: np.ndarray | None,
    with_images: bool,
) -> pa.RecordBatch:
    """Records of (N, H, W, C) images, numbered from `start`, with `label` where there is one."""
    column = pixels_to_arrow(images)
    if not with_images:
        column = pa.nulls(len(images), column.type)
    return image_records(
        ids=numbered_ids(prefix, start, len(images)),
        source=source,
        images=column,
        carried={} if labels is None else {"label": pa.array(labels)},
        image_metadata=raw_metadata(images.shape[1:], images.dtype),
    )
