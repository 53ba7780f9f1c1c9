"""The images of a few records, found again in the inputs that a run has read."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ae_models.config.configuration import ImageConfig
from transforms.images.decode_batch import decode_batch
from transforms.records.batches import ID, IMAGE, BatchLimits
from transforms.records.pixels import pixels_from_arrow
from transforms.records.rejects import good_rows
from transforms.sources import USUAL, ReadOptions, resolve_inputs


def record_images(
    inputs: Sequence[str],
    ids: Collection[str],
    config: ImageConfig,
    options: ReadOptions = USUAL,
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

    Returns:
      Pairs of an id and raw pixels, (H, W, C) uint8 or uint16.

    Raises:
      InputError: an input is not there.
    """
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
                chosen = good_rows(decode_batch(batch.filter(rows), config))
                found = chosen.column(ID).to_pylist()
                dtype = np.dtype(config.dtype)
                pixels = pixels_from_arrow(chosen.column(IMAGE), config.shape, dtype)
                yield from zip(found, pixels, strict=True)
                wanted.difference_update(found)
