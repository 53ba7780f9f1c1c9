"""Image records from arrays, without a Python object per record."""

from collections.abc import Sequence

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
    labels: pa.Array | None,
    with_images: bool,
    ids: pa.Array | None = None,
    rejects: Sequence[dict[str, str] | None] | None = None,
) -> pa.RecordBatch:
    """Records of (N, H, W, C) images, with a `label` column if labels are given.

    Args:
      prefix: prefix of the generated ids, which are numbered from `start`.
      ids: (N,) ids to use instead of generated ones.
      rejects: (N,) the `reject` of each invalid image, None for valid ones.
    """
    valid = None if rejects is None else np.array([reject is None for reject in rejects], bool)
    column = pixels_to_arrow(images, valid)
    if not with_images:
        column = pa.nulls(len(images), column.type)
    return image_records(
        ids=numbered_ids(prefix, start, len(images)) if ids is None else ids,
        source=source,
        images=column,
        carried={} if labels is None else {"label": labels},
        rejects=rejects,
        image_metadata=raw_metadata(images.shape[1:], images.dtype),
    )
