"""The images of a few records, found again in the inputs that a run has read."""

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

    Of an input that need not be read in whole, only the files that hold a wanted record are. The
    search ends with the last of them. A record that is not there any more, or cannot be decoded, is
    left out.

    Args:
      inputs: as `score` was given them.
      ids: of the records that are wanted.
      config: the bundle's, which images are brought to.
      options: how the inputs are read.
      looked_at: where those that cannot be decoded are counted.

    Returns:
      Pairs of an id and raw pixels, (H, W, C) uint8 or uint16.

    Raises:
      InputError: an input is not there.
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
    """The records of these ids, as they were read, each once. As `record_images` has it."""
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
