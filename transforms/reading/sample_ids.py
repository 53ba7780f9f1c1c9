"""Chooses a few records of the inputs at random, by seed."""

import heapq
from collections.abc import Sequence

from ae_models.config.validated import check_range
from ae_models.errors import InputError
from ae_models.training.splits import id_hashes
from transforms.reading.looked_at import LookedAt
from transforms.reading.read import open_inputs, read_task
from transforms.records.batches import ID, BatchLimits
from transforms.records.rejects import good_rows
from transforms.records.where import Where
from transforms.sources import USUAL, ReadOptions


def choose_ids(
    inputs: Sequence[str],
    count: int,
    seed: int,
    wheres: Sequence[Where] = (),
    options: ReadOptions = USUAL,
) -> list[str]:
    """The ids of a uniform sample of the records, without replacement: those with the smallest
    hashes of seed and id, in the order of hashes. With the same seed, a larger sample begins with
    the same records.

    Only ids are read, not images, so the sample may contain a record that cannot be decoded. Memory
    use is that of `count` ids and a batch.

    Args:
      inputs: the inputs, as given to `score`.
      count: maximum number of records; a smaller input is returned entirely.
      seed: random seed.
      wheres: conditions on carried columns, all of which must hold.
      options: how to read the inputs.

    Raises:
      InputError: an input does not exist, or has no records, none that match the conditions, or
        none that can be read.
      ConfigError: a condition names a column that the inputs do not have, or `count` is less than
        1.
    """
    check_range(1, count=count)
    sources, carried = open_inputs(inputs, wheres, options)
    least: list[tuple[int, str]] = []
    looked_at = LookedAt()
    for source in sources:
        for task in source.tasks():
            for batch, excluded in read_task(
                source, task, BatchLimits(), carried=carried, wheres=wheres, images=False
            ):
                looked_at.excluded += excluded
                looked_at.add_rejects(batch)
                ids = good_rows(batch).column(ID).to_pylist()
                hashes = id_hashes(f"{seed}/{record}" for record in ids).tolist()
                least = heapq.nsmallest(count, {*least, *zip(hashes, ids, strict=True)})
    if not least:
        raise InputError(looked_at.nothing_found(inputs, wheres))
    return [record for _, record in least]
