"""Finds the records of a batch that make a stage raise, so that only these are rejected."""

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
    """The result of `work` for batches: one batch for each, with as many rows.

    If `work` raises, it is called again with each half of the batches; for a single batch, with
    each half of its rows. A single row for which it raises is passed to it once more as a reject,
    which it must handle without examining the record. This distinguishes a bad record from work
    that cannot be done at all.

    Args:
      work: must return the same rows for a batch as for its parts.
      elements: image records.
      stage: the stage stated in the rejects.
      reason: the reason stated in the rejects, except for `out_of_memory`.
      of: the errors that a record may cause; others are not caught.

    Raises:
      LatentbeamError: raised by `work`; no record can cause it.
      StageError: `work` raises for any input.
    """
    try:
        return work(elements)
    except LatentbeamError:
        raise
    except of as error:
        # The error's frames would keep alive everything that did not fit into memory.
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
    """The value of the `reject` column for an error of a stage: the first line of its message."""
    exhausted = isinstance(error, _out_of_memory())
    return reject(stage, Reason.OUT_OF_MEMORY if exhausted else reason, told(error))


def _out_of_memory() -> tuple[type[Exception], ...]:
    """The errors that report lack of memory; pa.ArrowMemoryError is a MemoryError. TensorFlow's
    error can only occur if it is loaded, and is not loaded here for stages that do not need it."""
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
        raise StageError(
            f"{stage} stage failed even with no records: {failure['message']}"
        ) from error
