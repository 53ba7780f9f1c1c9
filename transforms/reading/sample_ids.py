"""A few records of the inputs, chosen at random by a seed."""

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
    """The ids of a uniform sample of the records, without replacement: those of the least hashes
    of seed and id, in the order of these. More of the same seed begin with the same records.

    Ids are read, images are not, so that a record may be among them that cannot be decoded. Memory
    is that of `count` ids and a batch.

    Args:
      inputs: as `score` is given them.
      count: the most records; all of a smaller input.
      seed: another one gives another sample.
      wheres: conditions on carried columns, all of which must hold.
      options: how the inputs are read.

    Raises:
      InputError: an input is not there, has no record, none that meets the conditions, or none that
        can be read.
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
