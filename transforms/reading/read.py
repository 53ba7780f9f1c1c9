"""Reads images from any kind of input as record batches."""

import contextlib
from collections.abc import Generator, Iterable, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.metrics import Metrics
from apache_beam.pvalue import PBegin, PCollection, TaggedOutput
from apache_beam.typehints import with_output_types

from ae_models.errors import InputError
from transforms.execution.background import read_ahead
from transforms.execution.composite import Composite
from transforms.execution.timing import each_timed
from transforms.execution.whole_input import check_start
from transforms.images.pages import MOST_START_BYTES, has_further_pages, may_have_pages
from transforms.records.batches import (
    ID,
    IMAGE,
    REJECT,
    SOURCE,
    BatchLimits,
    conform,
    image_records,
)
from transforms.records.passed_over import Cause, PassedOver
from transforms.records.pixels import raw_layout
from transforms.records.rejects import Reason, Stage, reject
from transforms.records.tallies import tally
from transforms.records.where import Where
from transforms.sources import USUAL, ReadOptions, Source, resolve_inputs

RECORDS_READ = "records_read"  # a metric
_TALLIES = "tallies"


class ImageRecords(NamedTuple):
    """The output of `ReadImages`: image records, and counts of what was read or passed over."""

    records: PCollection[pa.RecordBatch]
    tallies: PCollection[pa.RecordBatch]


def common_carried(sources: Sequence[Source]) -> pa.Schema:
    """The carried columns of all sources together.

    Raises:
      InputError: a source cannot be read, or two disagree about a column's type.
    """
    schemas = [source.carried() for source in sources]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").remove_metadata()
    except pa.ArrowException as error:
        raise InputError(f"the inputs have incompatible columns: {error}") from error


def read_task(
    source: Source,
    task: Any,
    limits: BatchLimits,
    *,
    carried: pa.Schema,
    wheres: Sequence[Where] = (),
    images: bool = True,
    passed_over: PassedOver | None = None,
) -> Generator[tuple[pa.RecordBatch, int]]:
    """The image records of a task with the run's carried columns, and the number excluded.

    `passed_over` counts what is in the files but not read. A condition does not exclude a reject
    whose column is unknown because it could not be read.
    """
    for batch in source.read(task, limits, images, passed_over):
        conformed = _conformed(batch, carried)
        kept = _filter(conformed, wheres)
        if passed_over is not None:
            _count_pages(kept, passed_over)
        yield kept, len(conformed) - len(kept)


def _count_pages(batch: pa.RecordBatch, passed_over: PassedOver) -> None:
    """Counts the images that have further pages; for most, their first bytes are enough."""
    images = batch.column(IMAGE)
    if raw_layout(batch.schema.field(IMAGE).metadata) is not None:
        return
    starts = pc.binary_slice(images, 0, MOST_START_BYTES).to_pylist()
    for row, start in enumerate(starts):
        if start and may_have_pages(start) and has_further_pages(images[row].as_py()):
            passed_over.add(Cause.FURTHER_PAGE, batch.column(ID)[row].as_py())


def _conformed(batch: pa.RecordBatch, carried: pa.Schema) -> pa.RecordBatch:
    """The rows with the run's columns; only rows whose values do not fit become rejects."""
    try:
        return conform(batch, carried)
    except pa.ArrowException as error:
        if len(batch) == 1:
            return conform(_mismatch(batch, str(error)), carried)
    rows = [_conformed(batch.slice(row, 1), carried) for row in range(len(batch))]
    return pa.concat_batches(rows)


def _mismatch(batch: pa.RecordBatch, message: str) -> pa.RecordBatch:
    value = reject(Stage.READ, Reason.SCHEMA_MISMATCH, message)
    return image_records(
        batch.column(ID),
        batch.column(SOURCE),
        pa.nulls(len(batch), batch.schema.field(IMAGE).type),
        rejects=[value] * len(batch),
        image_metadata=batch.schema.field(IMAGE).metadata,
    )


def _filter(batch: pa.RecordBatch, wheres: Sequence[Where]) -> pa.RecordBatch:
    for where in wheres:
        column = batch.column(where.column)
        mask = where.mask(column)
        if batch.column(REJECT).null_count < len(batch):
            unknown = pc.and_(batch.column(REJECT).is_valid(), column.is_null())
            mask = pc.or_(mask, unknown)
        batch = batch.filter(mask)
    return batch


class _List(beam.DoFn):
    def process(self, source: Source) -> Iterable[Any]:
        passed_over = PassedOver()
        for listing in source.listings():
            if listing.passed_over is not None:
                passed_over.update(listing.passed_over)
            if listing.task is not None:
                yield source, listing.task
        if passed_over.counts:
            yield TaggedOutput(_TALLIES, tally(passed_over=passed_over))


@with_output_types(pa.RecordBatch)
class _Read(beam.DoFn):
    def __init__(self, limits: BatchLimits, carried: pa.Schema, wheres: tuple[Where, ...]):
        self._limits, self._carried, self._wheres = limits, carried, wheres
        self._records = Metrics.counter("latentbeam", RECORDS_READ)
        self._milliseconds = Metrics.distribution("latentbeam", "read_milliseconds")

    def process(self, element: tuple[Source, Any]) -> Iterable[Any]:
        read = excluded = 0
        source, name = element
        passed_over = PassedOver()
        task = read_task(
            source,
            name,
            self._limits,
            carried=self._carried,
            wheres=self._wheres,
            passed_over=passed_over,
        )
        with contextlib.closing(read_ahead(each_timed(task))) as batches:
            for (batch, left_out), milliseconds in batches:
                self._milliseconds.update(milliseconds)
                read, excluded = read + len(batch), excluded + left_out
                if len(batch):
                    yield batch
        self._records.inc(read)
        yield TaggedOutput(_TALLIES, tally(read, excluded, passed_over))


class ReadImages(Composite):
    """Reads images from files, Parquet, TFRecord, WebDataset, NumPy archives, or embedded data.

    Args:
      inputs: one path or several, of the kinds in docs/reference/inputs.md.
      where: conditions on carried columns, as text or `Where`; all must hold.
      limits: limits of one batch.
      options: how to read the inputs.

    Returns:
      `ImageRecords`; pipe it into `ScoreImages`.

    Raises:
      InputError: an input does not exist, contains no image, or is not of the kind that its name
        indicates.
      ConfigError: a condition names a column that the inputs do not have, or the transform is not
        applied to the pipeline itself.
    """

    def __init__(
        self,
        inputs: str | Sequence[str],
        *,
        where: Sequence[str | Where] = (),
        limits: BatchLimits | None = None,
        options: ReadOptions = USUAL,
    ):
        super().__init__()
        self._options = options
        self._inputs = [inputs] if isinstance(inputs, str) else list(inputs)
        self._wheres = tuple(Where.parse(w) if isinstance(w, str) else w for w in where)
        self._limits = limits or BatchLimits()

    def expand(self, pipeline: beam.Pipeline | PBegin) -> ImageRecords:
        check_start(pipeline, "ReadImages")
        sources, carried = open_inputs(self._inputs, self._wheres, self._options)
        listed = (
            pipeline
            | "Inputs" >> beam.Create(sources, reshuffle=False)
            | "List" >> beam.ParDo(_List()).with_outputs(_TALLIES, main="tasks")
        )
        read = _read(listed.tasks, _Read(self._limits, carried, self._wheres))
        return ImageRecords(
            records=read.records,
            tallies=(listed[_TALLIES], read[_TALLIES]) | "Tallies" >> beam.Flatten(),
        )


class ReadTasks(Composite):
    """Reads tasks that have already been listed, as `ReadImages` reads those that it lists.

    Args:
      tasks: pairs of a source and a task.
      carried: the run's carried columns.
      where: conditions on them, already checked.
      limits: limits of one batch.

    Returns:
      `ImageRecords`.
    """

    def __init__(
        self,
        tasks: Sequence[tuple[Source, Any]],
        *,
        carried: pa.Schema,
        where: Sequence[Where] = (),
        limits: BatchLimits | None = None,
    ):
        super().__init__()
        self._tasks, self._carried, self._wheres = tasks, carried, tuple(where)
        self._limits = limits or BatchLimits()

    def expand(self, pipeline: beam.Pipeline | PBegin) -> ImageRecords:
        tasks = beam.Create(self._tasks, reshuffle=False).with_output_types(Any)
        read = _read(pipeline | "Tasks" >> tasks, _Read(self._limits, self._carried, self._wheres))
        return ImageRecords(read.records, read[_TALLIES])


def open_inputs(
    inputs: Sequence[str], wheres: Sequence[Where], options: ReadOptions = USUAL
) -> tuple[list[Source], pa.Schema]:
    """The sources of a run and its carried columns.

    If there is nothing to read, this fails here rather than in a worker.

    Raises:
      InputError: an input does not exist, contains no image, or is not of the kind that its name
        indicates.
      ConfigError: a condition names a column that the inputs do not have.
    """
    sources = resolve_inputs(inputs, options)
    for source in sources:
        _check_not_empty(source)
    carried = common_carried(sources)
    for where in wheres:
        where.check(carried)
    return sources, carried


def _check_not_empty(source: Source) -> None:
    passed_over = PassedOver()
    for listing in source.listings():
        if listing.task is not None:
            return
        if listing.passed_over is not None:
            passed_over.update(listing.passed_over)
    raise InputError(f"no records in {source.uri}{passed_over.in_brackets()}")


def _read(tasks: PCollection[tuple[Source, Any]], read: _Read) -> Any:
    return (
        tasks
        | "ShuffleTasks" >> beam.Reshuffle()  # shuffles paths, never images
        | "Read" >> beam.ParDo(read).with_outputs(_TALLIES, main="records")
    )
