"""The clusters of a run's records: sizes, cores and edges, and the cluster of each record."""

import collections
import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ae_models.errors import InputError
from transforms.records.batches import ID
from transforms.results.reader import read_row_group, row_groups
from transforms.runs.ledger import CLUSTERS

NO_CLUSTER = -2  # for a record that is not among the clusters' rows
_CLUSTER, _DISTANCE = "cluster", "distance_to_center"


@dataclasses.dataclass(frozen=True)
class Cluster:
    """One of a run's clusters.

    Attributes:
      number: the value in the column `cluster`.
      size: the number of its records.
      core: ids of the records nearest to its centre, the nearest first.
      edge: ids of the records farthest from it, the farthest first, without those in the core.
    """

    number: int
    size: int
    core: list[str]
    edge: list[str]


def cluster_sizes(folder: str) -> dict[int, int]:
    """The number of records of each cluster, the largest cluster first; `NOISE` counts records in
    no cluster.

    Raises:
      InputError: there are no finished clusters, or a file cannot be read.
    """
    sizes = collections.Counter[int]()
    for batch in _batches(folder, [_CLUSTER]):
        for found in pc.value_counts(batch.column(_CLUSTER)).to_pylist():
            sizes[found["values"]] += found["counts"]
    if not sizes:
        raise InputError(f"{folder} contains no clusters")
    return dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))


def clusters_of(
    folder: str, numbers: Sequence[int], ids: Sequence[str], shown: int
) -> tuple[list[Cluster], np.ndarray]:
    """The cores and edges of some clusters, and the clusters of some records, in one pass.

    Args:
      folder: the folder with the clusters.
      numbers: the numbers of the requested clusters.
      ids: the ids of the requested records.
      shown: the maximum number of records of a core, and of an edge.

    Returns:
      The clusters, in the order given, and the clusters of `ids`, (N,) int32.

    Raises:
      InputError: there are no finished clusters, or a file cannot be read.
    """
    records = pa.array(ids, pa.string())
    wanted = pc.unique(records)
    members = np.full(len(wanted), NO_CLUSTER, np.int32)
    ends: dict[int, list[pa.Table]] = {number: [] for number in numbers}
    sizes = dict.fromkeys(numbers, 0)
    for batch in _batches(folder, [ID, _CLUSTER, _DISTANCE]):
        places = pc.index_in(batch.column(ID), wanted)
        present = places.is_valid()
        cluster = batch.column(_CLUSTER)
        members[places.filter(present).to_numpy()] = cluster.filter(present).to_numpy()
        for number in numbers:
            rows = pa.table(batch.filter(pc.equal(cluster, number)))
            sizes[number] += len(rows)
            ends[number] = [_ends(pa.concat_tables([*ends[number], rows]), shown)]
    found = [_cluster(number, sizes[number], ends[number][0], shown) for number in numbers]
    return found, members[pc.index_in(records, wanted).to_numpy()]


def _ends(rows: pa.Table, shown: int) -> pa.Table:
    """The nearest and the farthest rows, ordered by distance."""
    known = rows.filter(pc.is_finite(rows[_DISTANCE]))
    ordered = known.sort_by([(_DISTANCE, "ascending"), (ID, "ascending")])
    if len(ordered) <= 2 * shown:
        return ordered
    return pa.concat_tables([ordered.slice(0, shown), ordered.slice(len(ordered) - shown)])


def _cluster(number: int, size: int, ends: pa.Table, shown: int) -> Cluster:
    ids = ends[ID].to_pylist()
    core = ids[: min(shown, (len(ids) + 1) // 2)]
    return Cluster(number, size, core, ids[len(core) :][::-1][:shown])


def _batches(folder: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for group in row_groups(folder, CLUSTERS):
        yield from read_row_group(group, columns)
