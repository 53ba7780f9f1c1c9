"""Finds the images of a few records in the inputs that a run has read."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ae_models.config.configuration import ImageConfig
from transforms.images.decode_batch import decode_batch
from transforms.reading.looked_at import LookedAt
from transforms.records.batches import ID, IMAGE, BatchLimits
from transforms.records.pixels import pixels_from_arrow
from transforms.records.rejects import good_rows
from transforms.sources import USUAL, ReadOptions, resolve_inputs


def record_images(
    inputs: Sequence[str],
    ids: Collection[str],
    config: ImageConfig,
    options: ReadOptions = USUAL,
    looked_at: LookedAt | None = None,
) -> Iterator[tuple[str, np.ndarray]]:
    """The decoded image of each of the records, with its id, in the order of the inputs.

    If an input need not be read entirely, only the files that contain requested records are read.
    The search ends with the last of them. A record that no longer exists, or cannot be decoded, is
    omitted.

    Args:
      inputs: the inputs, as given to `score`.
      ids: the ids of the requested records.
      config: the model bundle's image configuration, to which images are converted.
      options: how to read the inputs.
      looked_at: counts the records that cannot be decoded.

    Returns:
      Pairs of an id and raw pixels, (H, W, C) uint8 or uint16.

    Raises:
      InputError: an input does not exist.
    """
    for batch in found_records(inputs, ids, options):
        decoded = decode_batch(batch, config)
        if looked_at is not None:
            looked_at.add_rejects(decoded)
        chosen = good_rows(decoded)
        found = chosen.column(ID).to_pylist()
        pixels = pixels_from_arrow(chosen.column(IMAGE), config.shape, np.dtype(config.dtype))
        yield from zip(found, pixels, strict=True)


def found_records(
    inputs: Sequence[str], ids: Collection[str], options: ReadOptions = USUAL
) -> Iterator[pa.RecordBatch]:
    """The records with these ids, as they were read, each once; otherwise like `record_images`."""
    wanted = set(ids)
    for source in resolve_inputs(inputs, options):
        for task in source.tasks():
            if not wanted:
                return
            part = source.holding(task, wanted)
            if part is None:
                continue
            for batch in source.read(part, BatchLimits()):
                rows = pc.is_in(batch.column(ID), pa.array(wanted, pa.string()))
                found = batch.filter(rows)
                if len(found):
                    yield found
                wanted.difference_update(found.column(ID).to_pylist())
