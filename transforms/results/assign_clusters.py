"""The clusters of a finished run's records."""

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection, TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.typehints import with_output_types
from apache_beam.utils.windowed_value import WindowedValue

from ae_models.errors import InputError
from ae_models.latents.checks import check_latents
from ae_models.latents.clustering.agreement import agreement
from ae_models.latents.clustering.model import NOISE, Clustering
from ae_models.latents.clustering.model_file import read_clustering
from transforms.execution.composite import Composite
from transforms.execution.timing import ProgressLog
from transforms.records.batches import ID
from transforms.results.reader import LATENT_MEAN, LATENT_STDDEV, vectors
from transforms.runs.shards import read_errors
from transforms.storage.files import open_binary

CLUSTERS_SCHEMA = pa.schema(
    [
        pa.field(ID, pa.string(), nullable=False),
        pa.field("cluster", pa.int32(), nullable=False),
        pa.field("distance_to_center", pa.float32()),
        pa.field("probability", pa.float32(), nullable=False),
        pa.field("outlier_score", pa.float32(), nullable=False),
    ]
)
_TALLIES = "tallies"
Pairs = Mapping[tuple[int, str | None], int]  # the number of records by cluster and label


def cluster_rows(batch: pa.RecordBatch, clustering: Clustering) -> pa.RecordBatch:
    """The clusters of scored records, in `CLUSTERS_SCHEMA`. `distance_to_center` is null if there
    are no clusters at all.

    Args:
      batch: has `id`, `latent_mean` and, if the run has it, `latent_stddev`.
      clustering: fitted to such latents.

    Raises:
      InputError: the latents have another length, or are not finite.
    """
    latents = vectors(batch.column(LATENT_MEAN))
    if latents.shape[1] != clustering.latent_dim:
        raise InputError(
            f"the latents have {latents.shape[1]} dimensions, but the clusters have "
            f"{clustering.latent_dim}"
        )
    has_stddevs = LATENT_STDDEV in batch.schema.names
    stddevs = vectors(batch.column(LATENT_STDDEV)) if has_stddevs else None
    check_latents(latents, stddevs)
    found = clustering.assign(latents, stddevs)
    columns = [
        batch.column(ID),
        pa.array(found.cluster),
        pa.array(found.distance, from_pandas=True),
        pa.array(found.probability),
        pa.array(found.outlier_score),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=CLUSTERS_SCHEMA)


def summary(tallies: Sequence[Pairs]) -> dict[str, Any]:
    """The ledger's facts on all records: `records`, the `sizes` of clusters, `noise` and, if any
    record has a label, the `agreement` with the labels."""
    pairs = collections.Counter[tuple[int, str | None]]()
    for tally in tallies:
        pairs.update(tally)
    sizes = collections.Counter[int]()
    for (cluster, _), count in pairs.items():
        sizes[cluster] += count
    labelled = {(c, label): n for (c, label), n in pairs.items() if label is not None}
    facts = {
        "records": sizes.total(),
        "noise": sizes.pop(NOISE, 0),
        "sizes": {str(cluster): sizes[cluster] for cluster in sorted(sizes)},
    }
    return {**facts, "agreement": agreement(labelled)} if labelled else facts


class ClusteredRecords(NamedTuple):
    """The output of `AssignClusters`: rows in `CLUSTERS_SCHEMA`, and `Pairs`, one per Beam
    bundle."""

    rows: PCollection[pa.RecordBatch]
    tallies: PCollection[Pairs]


@with_output_types(pa.RecordBatch)
class _Assign(beam.DoFn):
    def __init__(self, model: str, label: str | None):
        self._model, self._label = model, label

    def setup(self) -> None:
        with read_errors(self._model), open_binary(self._model) as file:
            self._clustering = read_clustering(file, self._model)
        self._progress = ProgressLog()

    def start_bundle(self) -> None:
        self._pairs = collections.Counter[tuple[int, str | None]]()

    def process(self, batch: pa.RecordBatch) -> Iterable[Any]:
        rows = cluster_rows(batch, self._clustering)
        labels = (
            [None] * len(rows) if self._label is None else batch.column(self._label).to_pylist()
        )
        texts = (None if label is None else str(label) for label in labels)
        self._pairs.update(zip(rows.column("cluster").to_pylist(), texts, strict=True))
        self._progress.add(len(rows))
        yield rows

    def finish_bundle(self) -> Iterable[Any]:
        window = GlobalWindow()
        tally = WindowedValue(dict(self._pairs), window.max_timestamp(), (window,))
        yield TaggedOutput(_TALLIES, tally)


class AssignClusters(Composite):
    """Assigns each scored record its cluster. Memory is that of the model and a batch.

    Args:
      model: the path of a `model.npz` that workers can read.
      label: a column to compare clusters with, or None.

    Input: a PCollection of scored records, with the columns that `cluster_rows` needs.

    Returns:
      `ClusteredRecords`.
    """

    def __init__(self, model: str, label: str | None = None):
        super().__init__()
        self._assign = _Assign(model, label)

    def expand(self, scored: PCollection[pa.RecordBatch]) -> ClusteredRecords:
        assigned = scored | beam.ParDo(self._assign).with_outputs(_TALLIES, main="rows")
        return ClusteredRecords(assigned.rows, assigned[_TALLIES])
