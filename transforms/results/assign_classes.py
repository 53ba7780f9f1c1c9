"""The class probabilities of a finished run's records."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.typehints import with_output_types

from ae_models.config.validated import check_rate
from ae_models.latents.array_file import read_arrays
from ae_models.latents.classes.metrics import SUMS_SHAPE, class_metrics, metric_sums
from ae_models.latents.classes.model import ClassModel, ClassPosterior
from transforms.execution.composite import Composite
from transforms.execution.timing import ProgressLog
from transforms.records.batches import ID
from transforms.records.categories import categories_of
from transforms.results.reader import LATENT_MEAN, LATENT_STDDEV, vectors
from transforms.runs.shards import read_errors
from transforms.storage.files import open_binary

_TALLIES = "tallies"


class ClassTally(NamedTuple):
    """Counts of some records: all of them, those without a class, and those whose label is one of
    the classes; and the `metric_sums` of the latter."""

    records: int
    no_class: int
    labelled: int
    sums: np.ndarray


class ClassifiedRecords(NamedTuple):
    """Rows and their `ClassTally`, or PCollections of both."""

    rows: Any
    tallies: Any


def classes_schema(classes: Sequence[str]) -> pa.Schema:
    """The columns of class probabilities."""
    return pa.schema(
        [
            pa.field(ID, pa.string(), nullable=False),
            pa.field("class", pa.string()),
            pa.field("probability", pa.float32(), nullable=False),
            pa.field("probabilities", pa.list_(pa.float32(), len(classes)), nullable=False),
            pa.field("log_evidence", pa.float32(), nullable=False),
            pa.field("evidence_p_value", pa.float64(), nullable=False),
        ]
    )


def classify_batch(
    batch: pa.RecordBatch, model: ClassModel, fpr: float, label: str | None = None
) -> ClassifiedRecords:
    """The class probabilities of N scored records, in `classes_schema`, and a tally of them.

    Args:
      batch: has `id`, `latent_mean` and, if the run has it, `latent_stddev`.
      model: fitted to latents of the same bundle.
      fpr: a record's class is null if the p-value of its evidence is at most this.
      label: the column with true classes, if there is one.

    Raises:
      InputError: a latent is missing, not finite, or does not have the model's size.
      ConfigError: the label's type cannot name a class.
    """
    has_stddevs = LATENT_STDDEV in batch.schema.names
    stddevs = vectors(batch.column(LATENT_STDDEV)) if has_stddevs else None
    posterior = model.posterior(vectors(batch.column(LATENT_MEAN)), stddevs)
    p_values = model.p_values(posterior.log_evidence)
    none = p_values <= fpr
    truth = (
        np.full(len(batch), -1)
        if label is None
        else _indices(categories_of(batch, label), model.classes)
    )
    return ClassifiedRecords(
        _rows(batch.column(ID), posterior, p_values, none, model.classes),
        _tally(posterior, none, truth),
    )


def _rows(
    ids: pa.Array,
    posterior: ClassPosterior,
    p_values: np.ndarray,
    none: np.ndarray,
    classes: Sequence[str],
) -> pa.RecordBatch:
    probabilities = posterior.probabilities.astype(np.float32)
    best = posterior.probabilities.argmax(axis=1)
    columns = [
        ids,
        pa.array(classes, pa.string()).take(pa.array(best, mask=none)),
        pa.array(probabilities[np.arange(len(best)), best]),
        pa.FixedSizeListArray.from_arrays(pa.array(probabilities.ravel()), len(classes)),
        pa.array(posterior.log_evidence.astype(np.float32)),
        pa.array(p_values),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=classes_schema(classes))


def _indices(labels: pa.Array, classes: Sequence[str]) -> np.ndarray:
    """(N,) int64: the index of each label's class; −1 if it is none of them, or null."""
    found = pc.index_in(labels, value_set=pa.array(classes, pa.string()))
    return pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)


def _tally(posterior: ClassPosterior, none: np.ndarray, truth: np.ndarray) -> ClassTally:
    known = truth >= 0
    sums = metric_sums(posterior.probabilities[known], truth[known])
    return ClassTally(len(none), int(none.sum()), int(known.sum()), sums)


def summary(tallies: Sequence[ClassTally]) -> dict[str, Any]:
    """The ledger's facts on all records: `records`, the number with `no_class`, and `evaluation`,
    the quality of the probabilities for records whose label is one of the classes; None without
    such records."""
    labelled = sum(tally.labelled for tally in tallies)
    facts = {
        "records": sum(tally.records for tally in tallies),
        "no_class": sum(tally.no_class for tally in tallies),
        "evaluation": None,
    }
    if not labelled:
        return facts
    sums = sum((tally.sums for tally in tallies), np.zeros(SUMS_SHAPE))
    return {**facts, "evaluation": {"records": labelled, **class_metrics(sums)}}


@with_output_types(pa.RecordBatch)
class _Assign(beam.DoFn):
    def __init__(self, model: str, fpr: float, label: str | None):
        self._path, self._fpr, self._label = model, fpr, label

    def setup(self) -> None:
        with read_errors(self._path), open_binary(self._path) as file:
            self._model = ClassModel.from_arrays(read_arrays(file, self._path))
        self._progress = ProgressLog()

    def process(self, batch: pa.RecordBatch) -> Iterable[Any]:
        found = classify_batch(batch, self._model, self._fpr, self._label)
        self._progress.add(len(batch))
        yield found.rows
        yield TaggedOutput(_TALLIES, found.tallies)


class AssignClasses(Composite):
    """Assigns each scored record its class probabilities. Memory is that of the model and a batch.

    Args:
      model: the path of a `model.npz` that workers can read.
      fpr, label: see `classify_batch`.

    Input: a PCollection of scored records, with the columns that `classify_batch` needs.

    Returns:
      `ClassifiedRecords`.

    Raises:
      ConfigError: `fpr` is not above 0 and below 1.
    """

    def __init__(self, model: str, fpr: float, label: str | None = None):
        super().__init__()
        check_rate(fpr=fpr)
        self._assign = _Assign(model, fpr, label)

    def expand(self, scored: PCollection[pa.RecordBatch]) -> ClassifiedRecords:
        assigned = scored | beam.ParDo(self._assign).with_outputs(_TALLIES, main="rows")
        return ClassifiedRecords(assigned.rows, assigned[_TALLIES])
