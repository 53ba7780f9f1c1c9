"""Finding the records of a batch that make a stage raise, so that they alone are rejected."""

import sys
from collections.abc import Callable, Sequence

import pyarrow as pa

from ae_models.errors import LatentbeamError, StageError
from transforms.records.batches import REJECT, REJECT_TYPE
from transforms.records.rejects import Reason, Stage, reject, told

Work = Callable[[Sequence[pa.RecordBatch]], list[pa.RecordBatch]]


def isolated(
    work: Work,
    elements: Sequence[pa.RecordBatch],
    stage: Stage,
    reason: Reason,
    of: tuple[type[Exception], ...] = (Exception,),
) -> list[pa.RecordBatch]:
    """What `work` makes of batches: one batch of each, of as many rows.

    Where it raises, it is called again with each half of the batches, and of a batch that is left
    alone with each half of its rows. A single row for which it raises is given to it once more as a
    reject, which it must take without looking at the record. That is how a bad record is told from
    work that cannot be done at all.

    Args:
      work: gives the same rows for a batch as for its parts.
      elements: image records.
      stage: of the rejects.
      reason: of the rejects, but for `out_of_memory`.
      of: the errors that a record may be blamed for; others are raised as they are.

    Raises:
      LatentbeamError: `work` has raised one, which no record can be blamed for.
      StageError: `work` raises whatever it is given.
    """
    try:
        return work(elements)
    except LatentbeamError:
        raise
    except of as error:
        # The error itself would keep alive, with its frames, all that did not fit into memory.
        failure = failed(error, stage, reason)
    if len(elements) > 1:
        middle = len(elements) // 2
        halves = (elements[:middle], elements[middle:])
        return [done for half in halves for done in isolated(work, half, stage, reason, of)]
    (element,) = elements
    if len(element) > 1:
        middle = len(element) // 2
        parts = (element.slice(0, middle), element.slice(middle))
        done = [isolated(work, [part], stage, reason, of)[0] for part in parts]
        return [pa.concat_batches(done)]
    return _as_reject(work, element, stage, failure)


def failed(error: Exception, stage: Stage, reason: Reason) -> dict[str, str]:
    """The value of the `reject` column for what a stage raised: the first line of its message."""
    exhausted = isinstance(error, _out_of_memory())
    return reject(stage, Reason.OUT_OF_MEMORY if exhausted else reason, told(error))


def _out_of_memory() -> tuple[type[Exception], ...]:
    """The errors that say so; pa.ArrowMemoryError is a MemoryError. TensorFlow's can only come from
    where it is loaded, and a stage that needs none of it does not load it here."""
    tensorflow = sys.modules.get("tensorflow")
    theirs = (tensorflow.errors.ResourceExhaustedError,) if tensorflow else ()
    return (MemoryError, *theirs)


def _as_reject(
    work: Work, element: pa.RecordBatch, stage: Stage, failure: dict[str, str]
) -> list[pa.RecordBatch]:
    names = element.schema.names
    given = element.column(REJECT).to_pylist() if REJECT in names else [None] * len(element)
    rejects = pa.array([value or failure for value in given], REJECT_TYPE)
    if REJECT in names:
        rejected = element.set_column(names.index(REJECT), REJECT, rejects)
    else:
        rejected = element.append_column(REJECT, rejects)
    try:
        return work([rejected])
    except LatentbeamError:
        raise
    except Exception as error:
        raise StageError(f"{stage}: fails without a record too: {failure['message']}") from error
