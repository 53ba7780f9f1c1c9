"""The class probabilities of scored records."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.typehints import with_output_types

from ae_models.class_metrics import SUMS_SHAPE, class_metrics, metric_sums
from ae_models.class_model import ClassModel, ClassPosterior
from transforms.batches import ID
from transforms.derived import Sums, tally
from transforms.finished import LATENT_MEAN, LATENT_STDDEV, vectors
from transforms.model_file import read_arrays
from transforms.score_by_category import categories_of
from transforms.timing import ProgressLog

_TALLIES = "tallies"


class AssignedClasses(NamedTuple):
    """Records with their classes, and what `summarise_classes` needs of them."""

    records: Any
    tallies: Any


def assign_classes(
    batch: pa.RecordBatch, model: ClassModel, fpr: float, label: str | None = None
) -> AssignedClasses:
    """`id`, `class`, `probability`, `probabilities`, `log_evidence` and `evidence_p_value` of N
    scored records, and a tally of them.

    Args:
      batch: `id`, `latent_mean` and, if the model's records have it, `latent_stddev`.
      model: fitted to latents of the same bundle.
      fpr: a record has no class, null, where the p-value of its evidence is at most this.
      label: the column of true classes, if there is one.

    Raises:
      InputError: a latent is missing, not finite, or of another size than the model's.
      ConfigError: the label's type cannot name a class.
    """
    stddevs = batch.column(LATENT_STDDEV) if LATENT_STDDEV in batch.schema.names else None
    posterior = model.posterior(
        vectors(batch.column(LATENT_MEAN)), None if stddevs is None else vectors(stddevs)
    )
    p_values = model.p_values(posterior.log_evidence)
    none = p_values <= fpr
    truth = None if label is None else _indices(categories_of(batch, label), model.classes)
    return AssignedClasses(
        _records(batch.column(ID), posterior, p_values, none, model),
        _tally(posterior, none, truth),
    )


def _records(
    ids: pa.Array,
    posterior: ClassPosterior,
    p_values: np.ndarray,
    none: np.ndarray,
    model: ClassModel,
) -> pa.RecordBatch:
    probabilities = posterior.probabilities.astype(np.float32)
    best = posterior.probabilities.argmax(axis=1)
    flat = pa.array(probabilities.reshape(-1), pa.float32())
    return pa.RecordBatch.from_pydict(
        {
            ID: ids,
            "class": pa.array(model.classes, pa.string()).take(pa.array(best, mask=none)),
            "probability": pa.array(probabilities[np.arange(len(best)), best], pa.float32()),
            "probabilities": pa.FixedSizeListArray.from_arrays(flat, len(model.classes)),
            "log_evidence": pa.array(posterior.log_evidence.astype(np.float32)),
            "evidence_p_value": pa.array(p_values, pa.float64()),
        }
    )


def _indices(labels: pa.Array, classes: tuple[str, ...]) -> np.ndarray:
    """(N,) int64: which class a label is; −1 where it is none of them, or null."""
    found = pc.index_in(labels, value_set=pa.array(classes, pa.string()))
    return pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)


def _tally(posterior: ClassPosterior, none: np.ndarray, truth: np.ndarray | None) -> pa.RecordBatch:
    known = np.zeros(len(none), bool) if truth is None else truth >= 0
    sums = np.zeros(SUMS_SHAPE)
    if truth is not None and known.any():
        sums = metric_sums(posterior.probabilities[known], truth[known])
    return tally(no_class=[none.sum()], other_labels=[(~known).sum()], sums=sums.ravel())


def summarise_classes(sums: Sums) -> dict[str, Any]:
    """What `run.json` says of all records together: how many have `no_class`, and, if any label is
    one of the classes, how good the probabilities are by `evaluation`, which leaves the records
    with other labels, or none, out."""
    metrics = sums["sums"].reshape(SUMS_SHAPE)
    records = int(metrics[:, 0].sum())
    evaluation = {
        "records": records,
        "other_labels": int(sums["other_labels"][0]),
        **(class_metrics(metrics) if records else {}),
    }
    return {
        "no_class": int(sums["no_class"][0]),
        "evaluation": evaluation if records else None,
    }


@with_output_types(pa.RecordBatch)
class _Assign(beam.DoFn):
    def __init__(self, model: str, fpr: float, label: str | None):
        self._path, self._fpr, self._label = model, fpr, label

    def setup(self) -> None:
        self._model = ClassModel.from_arrays(read_arrays(self._path))
        self._progress = ProgressLog()

    def process(self, batch: pa.RecordBatch) -> Iterable[Any]:
        assigned = assign_classes(batch, self._model, self._fpr, self._label)
        self._progress.add(len(batch))
        yield assigned.records
        yield TaggedOutput(_TALLIES, assigned.tallies)


class AssignClasses(beam.PTransform):
    """`assign_classes` of every batch of a PCollection.

    Args:
      model: the file of the model, as `write_arrays` wrote it; each worker loads it once.
      fpr, label: as of `assign_classes`.

    Returns:
      `AssignedClasses`, two PCollections of `pa.RecordBatch`.
    """

    def __init__(self, model: str, fpr: float, label: str | None = None):
        super().__init__()
        self._assign = _Assign(model, fpr, label)

    def expand(self, batches: PCollection[pa.RecordBatch]) -> Any:
        outputs = batches | beam.ParDo(self._assign).with_outputs(_TALLIES, main="records")
        return AssignedClasses(outputs.records, outputs[_TALLIES])
